from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import mien.sinks.summary
from mien.errors import OutputError
from mien.sinks.summary import Summary, check_summary, summary_paths
from mien.sources.factory import open_source
from mien.types import Affect, Face, Frame, Image

MakeFace = Callable[..., Face]
IMAGE = np.zeros((4, 4, 3), dtype=np.uint8)


@pytest.fixture
def seen(make_face: MakeFace) -> Callable[..., Face]:
    def make(track: int | None, label: str = "happiness", valence: float = 0.5, arousal: float = 0.0) -> Face:
        return replace(make_face((1, 2, 31, 42), label), track_id=track, affect=Affect(valence, arousal))

    return make


def run(path: Path, frames: list[tuple[float, list[Face]]]) -> dict:
    summary = Summary(str(path), "talk.mp4")
    for index, (time, faces) in enumerate(frames):
        summary.write(Frame(IMAGE, time, index, "talk.mp4"), faces)
    summary.close()
    return json.loads(path.read_text())


def test_time_is_weighed_and_gaps_are_not_counted(tmp_path: Path, seen: Callable[..., Face]) -> None:
    told = run(
        tmp_path / "a.json",
        [
            (10.0, [seen(1, "anger", -1.0)]),
            (10.9, [seen(1, "happiness", 1.0, 0.5)]),  # 0.9 s of anger
            (11.0, []),
            (11.2, [seen(1, "happiness", 0.0)]),  # 0.3 s of happiness, over a frame without
            (20.0, [seen(1, "sadness", 0.0), seen(2, "uncertain", 0.25)]),  # away too long
        ],
    )
    assert (told["frames"], told["first"], told["last"], told["seconds"]) == (5, 10.0, 20.0, 1.2)
    assert told["readings"] == {
        "faces": 5,
        "expressions": {"happiness": 2, "anger": 1, "sadness": 1, "uncertain": 1},
        "valence": 0.05,
        "arousal": 0.1,
    }
    first, second = told["tracks"]
    assert first == {
        "track": 1,
        "first_seen": 10.0,
        "last_seen": 20.0,
        "frames": 4,
        "share": 0.8,
        "seconds": 1.2,
        "expressions": {"anger": 0.9, "happiness": 0.3},
        "valence": -0.5,
        "arousal": 0.125,
    }
    assert (second["seconds"], second["expressions"], second["valence"]) == (0.0, {}, 0.25)  # seen once
    assert told["others"] is None


def test_pictures_are_counted(tmp_path: Path, seen: Callable[..., Face]) -> None:
    told = run(tmp_path / "a.json", [(0.0, [seen(None), seen(None, "fear", -0.5)]), (0.0, []), (0.0, [seen(None)])])
    assert told["tracks"] == []
    assert told["readings"]["expressions"] == {"happiness": 2, "fear": 1}
    assert told["readings"]["valence"] == pytest.approx(1 / 6, abs=1e-4)
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] == 1800


def test_an_empty_run_is_summed_up_honestly(tmp_path: Path) -> None:
    told = run(tmp_path / "a.json", [])
    assert (told["frames"], told["first"], told["seconds"], told["tracks"]) == (0, None, 0.0, [])
    assert told["readings"] == {"faces": 0, "expressions": {}, "valence": None, "arousal": None}
    assert cv2.imread(str(tmp_path / "a.png")) is not None


def test_many_people_take_bounded_memory_and_nobody_is_lost(
    tmp_path: Path, seen: Callable[..., Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mien.sinks.summary, "MAX_TRACKS", 5)
    summary = Summary(str(tmp_path / "a.json"), "camera 0")
    stay = seen(0, "neutral")
    for index in range(4000):
        passing = seen(1 + index // 100, "fear" if index // 100 % 2 else "anger", -0.5)
        summary.write(Frame(IMAGE, index / 10, index, "camera 0"), [stay, passing])
    summary.close()
    assert len(summary._tracks) == 5
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["tracks"][0]["track"] == 0  # who was there all the time
    assert told["tracks"][0]["seconds"] == pytest.approx(399.9)
    assert told["others"]["tracks"] == 36
    everyone = [told["others"], *told["tracks"]]
    assert sum(item.get("frames", item.get("faces")) for item in everyone) == 8000
    assert sum(item["seconds"] for item in everyone) == pytest.approx(399.9 + 40 * 9.9, abs=0.01)
    assert told["others"]["valence"] == -0.5
    assert set(told["others"]["expressions"]) == {"anger", "fear"}


def test_a_curve_keeps_its_shape_at_bounded_resolution(seen: Callable[..., Face]) -> None:
    curve = mien.sinks.summary._Curve(1.0)
    times = np.arange(60_000) / 25
    for time in times:
        if not 1000 < time < 1200:
            curve.add(time, np.sin(time / 200), np.cos(time / 300))
    found, valence, arousal = curve.points()
    assert 600 < len(found) <= mien.sinks.summary.MAX_POINTS
    assert (np.diff(found) >= 0).all()
    assert np.flatnonzero(np.isnan(valence)).tolist() == [np.searchsorted(found, 1000.0) - 1]  # one gap
    known = ~np.isnan(valence)
    assert np.allclose(valence[known], np.sin(found[known] / 200), atol=0.01)
    assert np.allclose(arousal[known], np.cos(found[known] / 300), atol=0.01)


def test_times_may_be_anything_that_rises(tmp_path: Path, seen: Callable[..., Face]) -> None:
    told = run(tmp_path / "a.json", [(t, [seen(1)]) for t in (-5.0, -4.5, 0.0, 1e-9, 1e9, 1e9 + 0.5, 1e9 + 0.5)])
    assert told["tracks"][0]["seconds"] == pytest.approx(1.0)


def test_both_files_are_named_after_one(tmp_path: Path, portrait: Image) -> None:
    assert summary_paths("a/b.json") == (Path("a/b.json"), Path("a/b.png"))
    assert summary_paths("a/b.png") == (Path("a/b.json"), Path("a/b.png"))
    assert summary_paths("b") == (Path("b"), Path("b.png"))
    cv2.imwrite(str(tmp_path / "portrait.png"), portrait)
    (tmp_path / "folder.png").mkdir()
    source = open_source(tmp_path / "portrait.png")
    for name, message in [
        ("portrait.json", "would be overwritten"),  # its picture is what is read
        ("folder.json", "is a folder"),
        ("missing/a.json", "mkdir -p"),
        (".", "is a folder"),
    ]:
        with pytest.raises(OutputError, match=message):
            check_summary(str(tmp_path / name), source)
    for name in ("-", "", "/"):
        with pytest.raises(OutputError, match="needs a file name"):
            check_summary(name, source)
    check_summary(str(tmp_path / "fine.json"), source)
    assert not (tmp_path / "fine.json").exists()


def test_names_may_hold_anything(tmp_path: Path) -> None:
    summary = Summary(str(tmp_path / "a.json"), "caf\udce9\n/" + "long " * 99)
    summary.close()
    summary.close()
    assert json.loads((tmp_path / "a.json").read_text())["source"].startswith("caf\udce9\n/long")


def test_a_place_that_is_gone_is_told(tmp_path: Path) -> None:
    summary = Summary(str(tmp_path / "gone" / "a.json"), "a")
    with pytest.raises(OutputError, match="cannot write"):
        summary.close()
