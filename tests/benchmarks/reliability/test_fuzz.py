"""A small portion of the fuzzer, always the same; and it sees what it is there to see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.common import ROOT
from mien.types import Image

FUZZ = [sys.executable, "-m", "benchmarks.reliability.fuzz"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_portion_of_the_fuzz(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "fuzz.json"
    command = [*FUZZ, "--count", "120", "--seed", "5", "--model", str(tiny_bundle), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(out.read_text())
    assert report["failures"] == []
    for row in report["kinds"].values():
        assert row["count"] == row["ok"] + row["refused"] == 15
        assert row["ok"]
    for kind in ("images", "clips", "stills", "films"):
        assert report["kinds"][kind]["refused"]
    for kind in ("stills", "films", "unwritten", "names"):
        assert report["kinds"][kind]["compared"]
    assert report["locales"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_the_fuzz_sees_crashes_and_hangs(tmp_path: Path) -> None:
    """With a worker that does the worst: it hangs, aborts, or answers that all is well after a time that is not."""
    code = (
        "import argparse, pathlib, sys\n"
        "from benchmarks.reliability.fuzz import driver\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "driver.WORKER, driver.PATIENCE = [sys.executable, str(folder / 'worker.py')], -28.0\n"
        "args = argparse.Namespace(seed=0, model='m', only=None, count=4, workers=1)\n"
        "print([told['why'][:11] for told in driver.drive(range(5), folder / 'w', args, folder)])"
    )
    (tmp_path / "worker.py").write_text(
        "import json, os, time\n"
        "for line in open(0):\n"
        "    if line == '4\\n': print(json.dumps({'index': 4, 'result': 'ok', 'seconds': 95.4}), flush=True)\n"
        "    else: os.abort() if int(line) % 2 else time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert done.stdout.strip() == str(["hangs: no e", "crashes: it", "hangs: no e", "crashes: it", "hangs: took"])


def marked(picture: Image) -> Image:
    """A picture that looks like no turn, mirror or shift of itself."""
    picture = cv2.resize(picture, (96, 80))
    picture[:30, :20] = (200, 40, 10)
    return picture


@pytest.mark.parametrize("turn", ["ROTATE_180", "flip", "shift", "swapped", "one less", "late", "part"])
def test_the_fuzz_sees_pictures_that_are_read_wrongly(portrait: Image, turn: str) -> None:
    pytest.importorskip("PIL")
    from benchmarks.reliability.fuzz import reference

    right = marked(portrait)
    spoiled = right.copy()
    spoiled[40:52, 30:42] = 0
    wrong = {
        "ROTATE_180": lambda: cv2.rotate(right, cv2.ROTATE_180),
        "flip": lambda: cv2.flip(right, 1),
        "shift": lambda: np.roll(right, 9, axis=1),
        "swapped": lambda: right[..., ::-1],
        "part": lambda: spoiled,
    }
    expected = [reference.Shown(right, 0.0), reference.Shown(right, 0.1)]
    reference.check_frames([(right, 0.0), (right, 0.1)], expected, times=True)
    second = (wrong.get(turn, lambda: right)(), 0.2 if turn == "late" else 0.1)
    with pytest.raises(reference.Wrong):
        reference.check_frames([(right, 0.0), second][: 1 if turn == "one less" else 2], expected, times=True)


def test_the_fuzz_sees_the_shape_of_pixels(portrait: Image) -> None:
    pytest.importorskip("PIL")
    from benchmarks.reliability.fuzz import reference

    narrow = marked(portrait)
    wide = cv2.resize(narrow, (128, 80))
    expected = [reference.Shown(narrow, None, 4 / 3)]
    reference.check_frames([(wide, 0.0)], expected)
    with pytest.raises(reference.Wrong, match="96 x 80 px instead of 128 x 80"):
        reference.check_frames([(narrow, 0.0)], expected)
