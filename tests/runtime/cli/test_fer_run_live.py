"""fer-run on what moves: ids, smoothing, summaries, loops, the live page, and faces that must not be seen."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.cli import parse_args, run
from mien.drawing.faces import blur_faces
from mien.types import Image
from mien.vision.detector import load_detector

MakeClip = Callable[..., Path]
Run = Callable[..., int]


@pytest.fixture
def fer_run(tiny_bundle: Path) -> Run:
    def call(*args: object) -> int:
        return run(parse_args([*map(str, args), "--model", str(tiny_bundle), "--threads", "1", "--quiet"]))

    return call


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_clip_has_ids_and_smoothed_values(fer_run: Run, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=20)
    assert fer_run("--source", clip, "--json", tmp_path / "smooth.jsonl") == 0
    assert fer_run("--source", clip, "--json", tmp_path / "raw.jsonl", "--smoothing", 0) == 0
    smooth, raw = lines(tmp_path / "smooth.jsonl"), lines(tmp_path / "raw.jsonl")
    assert {row["track"] for row in smooth + raw} == {1}

    def trembling(rows: list[dict[str, Any]]) -> float:
        return float(np.abs(np.diff([list(row["probabilities"].values()) for row in rows], axis=0)).mean())

    assert trembling(smooth) < 0.6 * trembling(raw)


def test_pictures_have_no_ids(fer_run: Run, tmp_path: Path, portrait: Image) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    assert fer_run("--source", tmp_path / "a.png", "--json", tmp_path / "out.jsonl") == 0
    assert lines(tmp_path / "out.jsonl")[0]["track"] is None


@pytest.mark.parametrize("name", ["sum.json", "sum.png"])
def test_a_summary_is_json_and_a_plot(fer_run: Run, tmp_path: Path, make_clip: MakeClip, name: str) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=25)
    assert fer_run("--source", clip, "--summary", tmp_path / name) == 0
    summary = json.loads((tmp_path / "sum.json").read_text())
    (track,) = summary["tracks"]
    assert sum(track["expressions"].values()) == pytest.approx(0.96, abs=0.05)
    assert cv2.imread(str(tmp_path / "sum.png")) is not None


def test_a_summary_that_cannot_be_written_is_refused_first(fer_run: Run, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert fer_run("--source", clip, "--summary", tmp_path / "no" / "sum.json", "--json", tmp_path / "o.jsonl") == 2
    assert not (tmp_path / "o.jsonl").exists()


def test_two_outputs_of_one_name_are_refused(fer_run: Run, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert fer_run("--source", clip, "--summary", tmp_path / "o.png", "--json", tmp_path / "o.json") == 2
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize("option", ["--json", "--csv", "--parquet", "--save", "--summary", "--source", "--model"])
def test_names_that_no_file_can_have_are_refused(
    option: str, tmp_path: Path, make_clip: MakeClip, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    for name in ("a" * 5000 + ".mp4", "x/" * 3000 + "a.mp4", "~" + "a" * 300):
        args = {"--source": str(clip), "--model": str(tiny_bundle), option: name}
        assert run(parse_args([word for pair in args.items() for word in pair])) == 2
        assert "fer-run: error:" in capsys.readouterr().err


def test_a_loop_goes_on_after_the_end(fer_run: Run, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=6)
    assert fer_run("--source", clip, "--loop", "--json", tmp_path / "o.jsonl", "--max-frames", 15) == 0
    times = [row["time"] for row in lines(tmp_path / "o.jsonl")]
    assert len(times) == 15
    assert times == sorted(set(times))


def test_a_loop_of_a_picture_is_refused(fer_run: Run, tmp_path: Path, portrait: Image) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    assert fer_run("--source", tmp_path / "a.png", "--loop") == 2


def test_unlikely_expressions_are_uncertain(fer_run: Run, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert fer_run("--source", clip, "--json", tmp_path / "o.jsonl", "--min-confidence", 0.999) == 0
    rows = lines(tmp_path / "o.jsonl")
    assert {row["expression"] for row in rows} == {"uncertain"}
    assert all(row["confidence"] == max(row["probabilities"].values()) for row in rows)


def test_blurred_faces_are_not_in_what_is_saved(fer_run: Run, tmp_path: Path, portrait: Image) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    assert fer_run("--source", tmp_path / "a.png", "--save", tmp_path / "plain.png") == 0
    assert fer_run("--source", tmp_path / "a.png", "--save", tmp_path / "blurred.png", "--blur") == 0
    plain, blurred = (cv2.imread(str(tmp_path / name)) for name in ("plain.png", "blurred.png"))
    face = slice(90, 160), slice(195, 250)
    detail = [cv2.Laplacian(image[face], cv2.CV_64F).std() for image in (plain, blurred)]
    assert detail[1] < detail[0] / 5
    assert not load_detector().detect(np.asarray(blurred, dtype=np.uint8))


def test_a_face_that_the_detector_loses_for_a_moment_stays_hidden(
    tmp_path: Path, make_clip: MakeClip, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, shown = make_clip(tmp_path / "in.mp4", frames=12), []
    monkeypatch.setattr(
        "mien.cli.results.blur_faces", lambda image, faces: shown.append(len(faces)) or blur_faces(image, faces)
    )
    calls = iter(range(1000))
    from mien.tracking.stream import Stream

    find = Stream._detect
    monkeypatch.setattr(
        Stream, "_detect", lambda self, image, step: [] if next(calls) in (6, 7) else find(self, image, step)
    )
    args = ["--source", clip, "--save", tmp_path / "o.mp4", "--blur", "--model", tiny_bundle, "--quiet"]
    assert run(parse_args(list(map(str, args)))) == 0
    assert shown == [1] * 12


def test_serving_pictures_is_refused(fer_run: Run, tmp_path: Path, portrait: Image) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    assert fer_run("--source", tmp_path / "a.png", "--serve", 0) == 2


def test_a_served_loop_tells_its_address_and_ends_on_sigterm(
    tmp_path: Path, make_clip: MakeClip, tiny_bundle: Path
) -> None:
    pytest.importorskip("uvicorn")
    clip, out = make_clip(tmp_path / "in.mp4", frames=30), tmp_path / "o.jsonl"
    args = ["--source", clip, "--loop", "--serve", 0, "--json", out, "--summary", tmp_path / "s.json"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from mien.cli import main; main()", *map(str, args), "--model", str(tiny_bundle)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
        assert found
        for _ in range(100):
            metrics = urllib.request.urlopen(f"{found[0]}/metrics", timeout=10).read().decode()
            count = re.search(r"^mien_frames_total(?:\{.*\})? (\d+)", metrics, re.M)
            if count and int(count[1]) > 20:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(metrics)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=15) == 0
    finally:
        process.kill()
        process.communicate()
    assert len(lines(out)) >= 20
    assert json.loads((tmp_path / "s.json").read_text())["frames"] >= 20


def test_a_summary_replaces_no_device_and_no_link(fer_run: Run, tmp_path: Path, make_clip: MakeClip) -> None:
    clip, link, real = make_clip(tmp_path / "in.mp4"), tmp_path / "s.json", tmp_path / "real.json"
    link.symlink_to(real)
    assert fer_run("--source", clip, "--summary", link) == 0
    assert link.is_symlink()
    assert json.loads(real.read_text())["frames"] == 12
    os.mkfifo(tmp_path / "pipe.json")
    reader = os.open(tmp_path / "pipe.json", os.O_RDONLY | os.O_NONBLOCK)
    assert fer_run("--source", clip, "--summary", tmp_path / "pipe.json") == 0
    assert json.loads(os.read(reader, 100_000))["frames"] == 12
    os.close(reader)


def test_two_names_of_one_file_are_refused(fer_run: Run, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert fer_run("--source", clip, "--json", tmp_path / "a", "--csv", f"{tmp_path}/./a") == 2
    assert not (tmp_path / "a").exists()
