"""fer-batch on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from batch_runs import content

from mien.cli.fer_batch import parse_args, run

Command = Callable[..., int]


@pytest.fixture
def fer_batch(tiny_bundle: Path) -> Command:
    """``fer_batch("archive/", "-o", "results")`` -> exit code, with the tiny bundle on the processor."""

    def call(*words: object) -> int:
        return run(parse_args([*map(str, words), "--model", str(tiny_bundle), "--device", "cpu"]))

    return call


def test_an_archive_is_read_once(
    archive: list[Path], fer_batch: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    assert fer_batch(archive[0].parent, "-o", results, "--workers", 2) == 1  # two inputs are broken
    out, err = capsys.readouterr()
    assert "9 inputs to read, by 2 processes" in out
    assert "7 inputs read, 2 failed; 18 frames, 18 faces" in out
    assert "2 of 9 inputs failed" in err
    summary = json.loads((results / "summary.json").read_text())
    assert (summary["inputs"], summary["done"], summary["failed"], summary["faces"]) == (9, 7, 2, 18)
    assert sum(summary["expressions"].values()) == 18
    assert len(summary["errors"]) == 2
    assert (results / "summary.png").read_bytes().startswith(b"\x89PNG")
    before = content(results)
    assert fer_batch(archive[0].parent, "-o", results) == 1
    assert "9 inputs were read before" in capsys.readouterr().out
    assert content(results) == before


def test_good_inputs_alone_are_a_success_and_quiet_is_quiet(
    archive: list[Path], fer_batch: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [path for path in archive if path.name.startswith("picture")][:2]
    assert fer_batch(*good, "-o", tmp_path / "results", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.mp4", "-o", "new"], "there is no file or folder"),
        (["PICTURE", "-o", "mine"], "holds other files"),
        (["PICTURE", "-o", "begun", "--min-face", "30"], "smallest face: 0.0 there, 30.0 now"),
        (["PICTURE", "-o", "new", "--personal", "gone.npz"], "cannot read gone.npz"),
        (["foo://a/b.mp4", "-o", "new"], "foo:// is not known"),
        (["PICTURE", "-o", "new", "--exclude", "joy"], "joy"),
        (["PICTURE", "-o", "new", "--device", "tensorrt"], "tensorrt"),
    ],
)
def test_bad_requests_end_before_work_begins(
    words: list[str], message: str, archive: list[Path], fer_batch: Command, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("all")
    picture = next(path for path in archive if path.name.startswith("picture"))
    if "begun" in words:
        fer_batch(picture, "-o", "begun", "--quiet")
    before = content(tmp_path)
    extra = [] if "--device" not in words else words[words.index("--device") :]
    code = run_with_device([picture if word == "PICTURE" else word for word in words], fer_batch, extra)
    assert code == 2
    assert message in capsys.readouterr().err
    assert content(tmp_path) == before


def run_with_device(words: list[object], fer_batch: Command, extra: list[str]) -> int:
    """``--device`` of the words wins over the fixture's, which comes last."""
    return run(parse_args([*map(str, words)])) if extra else fer_batch(*words)


@pytest.mark.parametrize("words", [["a.jpg"], ["-o", "r"], ["a.jpg", "-o", ""], ["a.jpg", "-o", "r", "--workers", "0"],
                                   ["a.jpg", "-o", "r", "--segment", "0.5"]])  # fmt: skip
def test_bad_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(words)
    assert caught.value.code == 2


def started(words: list[object]) -> subprocess.Popen[str]:
    code = (
        "import sys, mien.batch.pieces; mien.batch.pieces.PICTURES = 2; sys.argv[0] = 'fer-batch'; "
        "from mien.cli.programs import fer_batch; fer_batch()"
    )
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_is_stopped_leaves_whole_files_and_goes_on(
    number: signal.Signals, archive: list[Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    """Its workers end with it, nothing is left half-written, and the next run reads the rest."""
    results = tmp_path / "results"
    pictures = [path for path in archive if path.name.startswith("picture")]
    copies = []
    for i in range(40):
        copies.append(tmp_path / f"picture{i}.jpg")
        copies[-1].write_bytes(pictures[i % len(pictures)].read_bytes())
    words = [tmp_path, "-o", results, "--model", tiny_bundle, "--device", "cpu", "--workers", 1]
    process = started(words)
    end = time.monotonic() + 60
    while not list(results.glob("faces/[!.]*")) and time.monotonic() < end:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children()
    assert workers
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    assert ("start the same command again" in err) == (number == signal.SIGINT)
    parts = {path.name: path.read_bytes() for path in results.glob("faces/[!.]*")}
    assert 0 < len(parts) < 20
    process = started(words)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert f"{2 * len(parts)} inputs were read before" in out
    assert {name: (results / "faces" / name).read_bytes() for name in parts} == parts
    rows = [row["source"] for path in (results / "faces").iterdir() for row in pq.read_table(path).to_pylist()]
    assert sorted(rows) == sorted(map(str, copies))
    assert len(list((results / "faces").iterdir())) == 20
