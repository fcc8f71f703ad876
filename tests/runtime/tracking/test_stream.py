"""Recognizer.stream on moving pictures of a real face: ids, windows, smoothing, clocks, and threads that share it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien import InputError, Recognizer
from mien.tracking.face_state import FaceState
from mien.types import EXPRESSIONS, Affect, Detection, Expression, Face, Image
from mien.vision.expression import Labeling

FPS = 25


@pytest.fixture(scope="module")
def recognizer(tiny_bundle: Path) -> Recognizer:
    return Recognizer(tiny_bundle, device="cpu", threads=1)


@pytest.fixture(scope="module")
def packaged() -> Recognizer:
    return Recognizer(device="cpu", precision="fp32", threads=1)


@pytest.fixture(scope="module")
def head(portrait: Image) -> Image:
    """A head alone, (180, 160, 3)."""
    return np.ascontiguousarray(portrait[20:200, 140:300])


def scene(heads: list[tuple[int, int]], head: Image, size: tuple[int, int] = (640, 360)) -> Image:
    """Heads with their top left corners at these places; the later ones cover the earlier ones."""
    frame = np.full((size[1], size[0], 3), 90, np.uint8)
    for x, y in heads:
        part = frame[max(y, 0) : y + head.shape[0], max(x, 0) : x + head.shape[1]]
        part[:] = head[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]]
    return frame


def walk(head: Image, seconds: float = 3.0) -> Iterator[tuple[Image, float]]:
    for i in range(round(seconds * FPS)):
        yield scene([(40 + 5 * i, 90)], head), i / FPS


def test_a_walking_face_keeps_its_id_and_is_where_predict_finds_it(recognizer: Recognizer, head: Image) -> None:
    with recognizer.stream() as stream:
        for image, time in walk(head):
            (face,) = stream.update(image, time)
            (alone,) = recognizer.predict(image)
            assert face.track_id == 1
            assert face.raw is not None
            side = np.ptp(alone.box[::2])
            assert np.abs(face.raw.box - alone.box).max() < 0.12 * side
            assert np.abs(face.box - alone.box).max() < 0.16 * side, "smoothing lags behind"
            assert sum(face.expression.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_the_whole_frame_is_searched_once_a_second_only(
    recognizer: Recognizer, head: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, counts = recognizer._detector, {"whole": 0, "near": 0}
    whole, near = detector.detect, detector.detect_near
    monkeypatch.setattr(detector, "detect", lambda image: counts.update(whole=counts["whole"] + 1) or whole(image))
    monkeypatch.setattr(
        detector,
        "detect_near",
        lambda image, boxes, angles: counts.update(near=counts["near"] + 1) or near(image, boxes),
    )
    stream = recognizer.stream()
    for image, time in walk(head, 3.0):
        stream.update(image, time)
    assert counts["whole"] <= 4
    assert counts["near"] >= 70


def test_a_second_face_is_found_within_search_every(recognizer: Recognizer, head: Image) -> None:
    stream = recognizer.stream(search_every=0.4)
    for i in range(10):
        stream.update(scene([(40, 90)], head), i / FPS)
    both = scene([(40, 90), (420, 90)], head)
    counts = [len(stream.update(both, i / FPS)) for i in range(10, 22)]
    assert counts[-1] == 2
    assert {face.track_id for face in stream.update(both, 22 / FPS)} == {1, 2}


@pytest.mark.parametrize("gap", [1, 3, 12, 20])
def test_ids_survive_an_occlusion_and_hidden_says_where(recognizer: Recognizer, head: Image, gap: int) -> None:
    places = [(40, 0), (400, 0), (40, 180), (400, 180)]
    stream, before = recognizer.stream(), {}
    for i in range(30 + gap):
        covered = 10 <= i < 10 + gap
        frame = scene(places[covered:], head)
        faces = {(face.box[0] < 300, face.box[1] < 170): face.track_id for face in stream.update(frame, i / FPS)}
        assert len(faces) == 4 - covered
        before = before or faces
        assert faces.items() <= before.items()
        assert len(stream.hidden) == covered
        if covered:
            assert np.abs(stream.hidden[0].box[:2] - np.array([78, 43])).max() < 30


def test_real_faces_that_cross_keep_their_ids(recognizer: Recognizer, head: Image) -> None:
    stream, other = recognizer.stream(), cv2.flip(head, 1)
    ids = []
    for i in range(76):
        left, right = 20 + 6 * i, 476 - 6 * i
        frame = scene([(left, 100)], head)
        part = scene([(right, 90)], other)
        shown = (part != 90).any(axis=2)
        frame[shown] = part[shown]  # the flipped one walks in front
        faces = stream.update(frame, i / FPS)
        if len(faces) == 2:
            ids.append([face.track_id for face in sorted(faces, key=lambda face: float(face.box[0]))])
    assert ids[0] == ids[5] == [1, 2] or ids[0] == [2, 1]
    assert ids[-1] == ids[0][::-1]


def test_an_empty_room_and_a_face_that_comes_late(recognizer: Recognizer, head: Image) -> None:
    stream = recognizer.stream()
    assert [stream.update(scene([], head), i / FPS) for i in range(5)] == [[]] * 5
    assert stream.update(scene([(100, 90)], head), 0.2)[0].track_id == 1


@pytest.mark.parametrize("name", ["still", "backwards", "jump back", "huge"])
def test_clocks_that_misbehave_do_not_cost_an_id(recognizer: Recognizer, head: Image, name: str) -> None:
    stamps = {
        "still": [7.0] * 40,
        "backwards": [7.0 - 0.04 * i for i in range(40)],
        "jump back": [0.04 * i if i < 20 else 0.04 * (i - 20) for i in range(40)],
        "huge": [1.7e9 + 0.04 * i for i in range(40)],
    }[name]
    stream = recognizer.stream()
    for i, stamp in enumerate(stamps):
        (face,) = stream.update(scene([(40 + 2 * i, 90)], head), stamp)
        assert face.track_id == 1
        assert np.isfinite([face.affect.valence, *face.box, *face.expression.probabilities.values()]).all()


def test_after_a_long_gap_faces_are_new(recognizer: Recognizer, head: Image) -> None:
    stream = recognizer.stream()
    ids = [stream.update(scene([(40, 90)], head), time)[0].track_id for time in (0.0, 0.04, 60.0, 60.04)]
    assert ids == [1, 1, 2, 2]


@pytest.mark.parametrize("time", [float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(recognizer: Recognizer, head: Image, time: float) -> None:
    with pytest.raises(InputError, match="monotonic"):
        recognizer.stream().update(scene([], head), time)


@pytest.mark.parametrize("options", [{"smoothing": -1.0}, {"max_gap": float("nan")}, {"baseline": float("inf")}])
def test_options_out_of_range_are_refused(recognizer: Recognizer, options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="seconds"):
        recognizer.stream(**options)


def test_without_smoothing_values_are_those_of_predict_boxes(packaged: Recognizer, head: Image) -> None:
    stream = packaged.stream(smoothing=0)
    for i in range(5):
        image = scene([(100 + 3 * i, 90)], head)
        (face,) = stream.update(image, i / FPS)
        assert face.landmarks is not None
        (alone,) = packaged.predict_boxes(image, face.box[None], face.landmarks[None])
        assert face.expression == alone.expression
        assert face.raw is not None
        assert face.raw.expression == face.expression


def test_threads_and_streams_that_share_a_recognizer_give_what_they_give_alone(
    packaged: Recognizer, head: Image
) -> None:
    clips = [[scene([(40 + k * i, 60 + 10 * k)], head) for i in range(30)] for k in range(1, 5)]

    def read(clip: list[Image]) -> list[tuple[int | None, dict[str, float], float]]:
        stream = packaged.stream()
        faces = [face for i, image in enumerate(clip) for face in stream.update(image, i / FPS)]
        return [(face.track_id, face.expression.probabilities, face.affect.valence) for face in faces]

    alone = [read(clip) for clip in clips]
    together: list[object] = [None] * len(clips)

    def work(k: int) -> None:
        together[k] = read(clips[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def reading(probabilities: dict[str, float], valence: float = 0.0) -> Face:
    rest = (1 - sum(probabilities.values())) / (8 - len(probabilities))
    named = {label: probabilities.get(label, rest) for label in EXPRESSIONS}
    label = max(named, key=named.__getitem__)
    box = np.array([0, 0, 100, 100], np.float32)
    return Face(box, None, 0.9, Expression(label, named[label], named), Affect(valence, 0.1), np.zeros(4, np.float32))


def feed(state: FaceState, faces: list[Face], min_confidence: float = 0.0, exclude: tuple[str, ...] = ()) -> list[Face]:
    made = []
    for i, face in enumerate(faces, start=round((state._last_seen or 0) * FPS) + 1):
        place, step = state.smooth_position(Detection(face.box, None, 0.9), i / FPS)
        made.append(state.update(face, place, step, Labeling(min_confidence, exclude)))
    return made


def test_flicker_does_not_reach_the_label_but_a_change_does() -> None:
    sad, cross = reading({"sadness": 0.5, "anger": 0.4}), reading({"sadness": 0.4, "anger": 0.5})
    state = FaceState(smoothing=0.25, baseline=0)
    assert {face.expression.label for face in feed(state, [sad, cross] * 25)} == {"sadness"}
    labels = [face.expression.label for face in feed(state, [reading({"happiness": 0.9})] * 25)]
    assert labels[-1] == "happiness"
    assert labels.index("happiness") / FPS <= 0.25


def test_raw_stays_as_it_was_read() -> None:
    faces = [reading({"sadness": 0.9}), reading({"happiness": 0.9}, valence=0.8)]
    made = feed(FaceState(smoothing=0.25, baseline=0), faces)
    assert [face.raw for face in made] == faces
    assert made[1].expression.label == "sadness"
    assert 0 < made[1].affect.valence < 0.8


def test_a_label_below_min_confidence_is_uncertain() -> None:
    (face,) = feed(FaceState(0.25, 0), [reading({"fear": 0.4})], min_confidence=0.5)
    assert (face.expression.label, face.expression.confidence) == ("uncertain", pytest.approx(0.4))


def test_a_baseline_takes_off_what_a_face_shows_at_rest() -> None:
    """A state who looks sad at rest: neutral once that is known, and sad only when sadder than that."""
    rest = reading({"sadness": 0.6, "neutral": 0.25}, valence=-0.4)
    state = FaceState(smoothing=0, baseline=1.0)
    made = feed(state, [rest] * 40)
    assert made[10].expression.label == "sadness", "corrected before the second was over"
    assert made[-1].expression.label == "neutral"
    assert made[-1].affect.valence == pytest.approx(0, abs=1e-6)
    assert sum(made[-1].expression.probabilities.values()) == pytest.approx(1)
    for label in ("sadness", "happiness"):
        (shown,) = feed(state, [reading({label: 0.985})])
        assert shown.expression.label == label
