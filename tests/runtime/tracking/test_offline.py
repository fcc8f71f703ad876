"""fer-run --offline: frames wait for what comes after them, none is lost, and labels are those of the window."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_frame import frame
from tiny_temporal import add_temporal

from mien import cli
from mien.bundle import find_bundle
from mien.cli.options import parse_args
from mien.errors import SourceError
from mien.sources.video import Video
from mien.tracking.offline import LOOKAHEAD_SECONDS, VOTE_SECONDS, Offline
from mien.tracking.temporal import TemporalEncoder
from mien.types import EXPRESSIONS, Affect, Expression, Face, Frame
from mien.vision.expression import Labeling

FPS = 25


def face(label: str, track: int = 1, valence: float = 0.0, sure: float = 0.8) -> Face:
    named = dict.fromkeys(EXPRESSIONS, (1 - sure) / 7) | {label: sure}
    alone = Face(
        np.array([0, 0, 9, 9], np.float32),
        None,
        0.9,
        Expression(label, sure, named),
        Affect(valence, 0.0),
        np.zeros(16, np.float32),
        track,
    )
    return Face(*list(vars(alone).values())[:-1], raw=alone)


def read(offline: Offline, shown: list[list[Face]]) -> list[tuple[Frame, list[Face]]]:
    made = [item for i, faces in enumerate(shown) for item in offline.push(frame(i), faces)]
    return [(item[0], item[1]) for item in [*made, *offline.finish()]]


def labels(offline: Offline, names: list[str]) -> list[str]:
    return [faces[0].expression.label for _, faces in read(offline, [[face(name)] for name in names])]


def test_every_frame_comes_out_once_in_order_also_those_without_a_face() -> None:
    shown = [[face("anger")] if i % 3 else [] for i in range(60)]
    made = read(Offline(None), shown)
    assert [item.index for item, _ in made] == list(range(60))
    assert [len(faces) for _, faces in made] == [len(faces) for faces in shown]


def test_frames_wait_no_longer_than_they_must() -> None:
    offline = Offline(None)
    waits = []
    for i in range(100):
        done = offline.push(frame(i), [face("anger")])
        waits += [i / FPS - item[0].time for item in done]
    assert waits
    assert max(waits) < LOOKAHEAD_SECONDS + VOTE_SECONDS / 2 + 1.5 / FPS
    assert len(offline._tracks[1].sightings) < 3 * FPS, "what is long past is kept"


def test_a_label_for_a_moment_is_outvoted_and_a_change_is_in_its_place() -> None:
    flicker = ["sadness"] * 30 + ["anger"] * 3 + ["sadness"] * 30
    assert set(labels(Offline(None), flicker)) == {"sadness"}
    change = labels(Offline(None), ["sadness"] * 40 + ["happiness"] * 40)
    assert change[:39] == ["sadness"] * 39
    assert change[41:] == ["happiness"] * 39


def test_raw_stays_and_probabilities_sum_to_one() -> None:
    made = read(Offline(None), [[face(name)] for name in ["anger", "fear"] * 20])
    for i, (_, (one,)) in enumerate(made):
        assert one.raw is not None
        assert one.raw.expression.label == ("anger", "fear")[i % 2]
        assert sum(one.expression.probabilities.values()) == pytest.approx(1)


def test_tracks_do_not_mix() -> None:
    made = read(Offline(None), [[face("anger", 1), face("fear", 2)]] * 40)
    assert {(faces[0].expression.label, faces[1].expression.label) for _, faces in made} == {("anger", "fear")}


def test_min_confidence_and_baseline_are_of_what_comes_out() -> None:
    assert set(labels(Offline(None, Labeling(0.9)), ["anger"] * 40)) == {"uncertain"}
    corrected = read(Offline(None, baseline=0.5), [[face("sadness", valence=-0.4, sure=0.6)]] * 60)
    assert corrected[2][1][0].expression.label == "sadness"
    assert corrected[-1][1][0].expression.label == "neutral"
    assert corrected[-1][1][0].affect.valence == pytest.approx(0, abs=1e-6)


def test_the_encoder_sees_both_sides(bundle_copy: Path) -> None:
    """The tiny encoder gives means of its window: with both sides a change is where it was."""
    encoder = TemporalEncoder(find_bundle(add_temporal(bundle_copy)))
    made = read(Offline(encoder), [[face("anger", valence=-0.5)]] * 30 + [[face("fear", valence=0.5)]] * 30)
    valences = np.array([faces[0].affect.valence for _, faces in made])
    assert valences[:10] == pytest.approx(-0.5)
    assert abs(np.abs(valences).argmin() - 29.5) < 2
    assert made[28][1][0].expression.label == "anger"
    assert made[32][1][0].expression.label == "fear"


def run(*argv: str) -> int:
    return cli.run(parse_args([*argv, "--device", "cpu", "--threads", "1", "--quiet"]))


@pytest.fixture
def clip(tmp_path: Path, make_clip: object) -> Path:
    return make_clip(tmp_path / "clip.mp4", frames=60)  # type: ignore[operator]


def test_fer_run_offline_writes_every_frame_of_a_file(clip: Path, bundle_copy: Path, tmp_path: Path) -> None:
    add_temporal(bundle_copy)
    counts = {}
    for name, options in {
        "live": [], "offline": ["--offline"], "plain": ["--offline", "--no-temporal"],
        "filters": ["--no-temporal"],
    }.items():  # fmt: skip
        out = tmp_path / f"{name}.jsonl"
        saved = ["--save", str(tmp_path / "out.mp4"), "--summary", str(tmp_path / "sum.json")]
        assert run("--source", str(clip), "--model", str(bundle_copy), "--json", str(out), *options, *saved) == 0
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        counts[name] = [(line["frame"], line["track"]) for line in lines]
        assert json.loads((tmp_path / "sum.json").read_text())["frames"] == 60
    assert counts["live"] == counts["offline"] == counts["plain"] == counts["filters"]
    texts = [(tmp_path / f"{name}.jsonl").read_text() for name in counts]
    assert len(set(texts)) == 4


def test_frames_that_wait_are_written_where_a_file_breaks_off(
    clip: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Video.__iter__

    def broken(self: Video) -> object:
        for item in whole(self):
            if item.index == 20:
                raise SourceError("damaged")
            yield item

    monkeypatch.setattr(Video, "__iter__", broken)
    out = tmp_path / "out.jsonl"
    assert run("--source", str(clip), "--model", str(tiny_bundle), "--json", str(out), "--offline") == 2
    assert [json.loads(line)["frame"] for line in out.read_text().splitlines()][-1] == 19


@pytest.mark.parametrize("source", ["picture", "live"])
def test_offline_is_for_video_files(source: str, tmp_path: Path, portrait: np.ndarray, capsys: object) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    place = ["--source", str(tmp_path / "a.png")] if source == "picture" else ["--source", "http://127.0.0.1:9/x"]
    assert run(*place, "--offline") == 2
