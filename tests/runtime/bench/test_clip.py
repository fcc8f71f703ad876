"""The clip of the whole pipeline: the user's or a drawn one, in processes of its own that take turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bench_runs import Bench

from mien.bench.clip import Child, clip_turns
from mien.bench.scene import FRAMES, scene
from mien.errors import MienError, ModelNotFound
from mien.vision.detector import load_detector

pytest.importorskip("onnxruntime")


def test_the_clip_of_the_user(bench: Bench, clip: Path, few_turns: None) -> None:
    code, report = bench("--device", "cpu")
    assert code == 0
    assert (report["clip"]["path"], report["clip"]["drawn"]) == (str(clip), False)
    assert (report["clip"]["size"], report["clip"]["fps"]) == ([320, 180], 25)
    # 12 frames: it starts again from its beginning.
    assert report["clip"]["ways"]["stream"]["calls"] > 12


def test_a_clip_without_a_face_is_said(
    bench: Bench, tmp_path: Path, few_turns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gray.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    code, report = bench("--clip", str(path), "--device", "cpu")
    assert code == 0
    assert report["clip"]["ways"]["stream"]["faces_per_frame"] == 0
    assert any("no face was found" in text for text in report["warnings"])
    assert "warning: no face was found" in capsys.readouterr().err


def test_a_clip_that_was_cut_off_is_said_once(
    bench: Bench,
    tmp_path: Path,
    few_turns: None,
    make_clip: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = make_clip(tmp_path / "cut.avi", frames=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, report = bench("--clip", str(path), "--device", "cpu")
    assert code == 0
    assert sum("cut.avi" in text for text in report["warnings"]) == 1
    assert capsys.readouterr().err.count("cut.avi") == 1


def test_the_drawn_scene_has_a_face_where_it_says() -> None:
    detector = load_detector()
    for i in range(0, FRAMES, 10):
        picture, box = scene((640, 360), i / FRAMES)
        (found,) = detector.detect(picture)
        x1, y1 = np.maximum(found.box[:2], box[:2])
        x2, y2 = np.minimum(found.box[2:], box[2:])
        shared = max(0.0, x2 - x1) * max(0.0, y2 - y1)
        areas = [float((place[2:] - place[:2]).prod()) for place in (found.box, box)]
        assert shared / (sum(areas) - shared) > 0.6
        assert detector.detect_near(picture, [box])


def job(tiny_bundle: Path, clip: Path, tmp_path: Path, **changes: object) -> dict[str, object]:
    made = {"clip": str(clip), "model": str(tiny_bundle), "device": "cpu", "precision": "fp32", "threads": 1}
    return made | {"mode": "stream", "output": str(tmp_path / "faces.jsonl")} | changes


def test_a_child_hands_up_what_goes_wrong(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model"):
        Child(job(tiny_bundle, clip, tmp_path, model="none"))
    with pytest.raises(MienError, match="KeyError"):
        Child({})


def test_a_child_that_dies_is_an_error_and_not_a_hang(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    child = Child(job(tiny_bundle, clip, tmp_path))
    assert child.engine == "onnxruntime/cpu fp32"
    child._process.kill()
    with pytest.raises(MienError, match=r"ended with code -?9"):
        child.ask(0.1)
    child.close()
    child.close()


def test_a_child_writes_the_faces_and_is_gone_with_its_parent(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    child = Child(job(tiny_bundle, clip, tmp_path))
    answer = child.ask(0.1)
    lines = (tmp_path / "faces.jsonl").read_text().splitlines()
    assert len(lines) >= answer["faces"] == len(answer["seconds"])
    assert json.loads(lines[0])["track"] == 1
    assert child._process.stdin is not None
    child._process.stdin.close()
    assert child._process.wait(20) == 0
    child.close()


def test_the_ways_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Double:
        engine = "double"

        def __init__(self, job: dict[str, object]):
            self.mode = str(job["mode"])

        def ask(self, seconds: float) -> dict[str, object]:
            asked.append(f"{self.mode} {seconds}")
            return {}

        def close(self) -> None:
            asked.append(f"close {self.mode}")

    monkeypatch.setattr("mien.bench.clip.Child", Double)
    answers: dict[str, list[Any]] = {"stream": [], "predict": []}
    steps = clip_turns({}, answers, 2.0)
    next(steps)
    next(steps)
    steps.close()
    assert asked == ["stream 0.5", "predict 0.5", "close predict", "close stream"]
    assert [len(turns) for turns in answers.values()] == [1, 1]
