"""The temporal encoder in the runtime: what a stream keeps of each face, options, and bundles that are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_card import change
from tiny_temporal import SPAN, STATE, WINDOW, add_temporal

from mien import InputError, Recognizer
from mien.bundle import find_bundle
from mien.errors import EngineUnavailable, ModelInvalid
from mien.tracking.face_state import AFTER_ENCODER
from mien.tracking.smoothing import Average
from mien.tracking.temporal import MIN_SPACING_SECONDS, Memory, TemporalEncoder, load_temporal
from mien.types import EXPRESSIONS, Affect, Expression, Image
from mien.vision.expression import Prediction

FPS = 25


@pytest.fixture
def bundle(bundle_copy: Path) -> Path:
    return add_temporal(bundle_copy)


@pytest.fixture
def encoder(bundle: Path) -> TemporalEncoder:
    return TemporalEncoder(find_bundle(bundle))


def said(first: float, valence: float = 0.0) -> Prediction:
    """A frame in which neutral has the probability ``first`` and happiness the rest."""
    named = dict.fromkeys(EXPRESSIONS, 0.0) | {"neutral": first, "happiness": 1 - first}
    return Expression("", 0.0, named), Affect(valence, 0.0), np.zeros(16, np.float32)


def neutral(memory: Memory, ids: list[int], now: float, *firsts: float) -> list[float]:
    return [named["neutral"] for named, _ in memory.read(ids, now, [said(first) for first in firsts])]


def scene(shift: int, head: Image) -> Image:
    frame = np.full((360, 640, 3), 90, np.uint8)
    frame[90 : 90 + head.shape[0], 60 + shift : 60 + shift + head.shape[1]] = head
    return frame


@pytest.fixture(scope="module")
def head(portrait: Image) -> Image:
    return np.ascontiguousarray(portrait[20:200, 140:300])


def test_each_track_has_its_own_past(encoder: TemporalEncoder) -> None:
    memory = Memory(encoder)
    for i in range(4):
        both = neutral(memory, [1, 2], i / FPS, 1.0, 0.0)
        assert both == pytest.approx([1.0, 0.0])
    assert neutral(memory, [2, 1], 4 / FPS, 1.0, 1.0) == pytest.approx([0.2, 1.0])


def test_a_track_that_is_not_seen_keeps_its_past_and_its_age(encoder: TemporalEncoder) -> None:
    memory = Memory(encoder)
    neutral(memory, [1], 0.0, 0.0)
    neutral(memory, [2], 0.2, 0.0)  # 1 is hidden
    assert neutral(memory, [1], 0.4, 1.0) == pytest.approx([0.5])
    assert neutral(memory, [1], 0.4 + SPAN + 0.01, 1.0) == pytest.approx([1.0]), "all of the past is too old"


def test_a_fast_camera_does_not_fill_the_window_with_less_time(encoder: TemporalEncoder) -> None:
    memory = Memory(encoder)
    neutral(memory, [1], 0.0, 0.0)
    step = MIN_SPACING_SECONDS / 10
    for i in range(1, WINDOW + 3):
        last = neutral(memory, [1], i * step, 1.0)
    assert last[0] < 1, "the first frame is out of the window after a few thousandths of a second"


def test_no_more_than_the_window_is_kept(encoder: TemporalEncoder) -> None:
    memory = Memory(encoder)
    for i in range(3):
        neutral(memory, [1], 0.03 * i, 0.0)
    values = [neutral(memory, [1], 0.09 + 0.03 * i, 1.0)[0] for i in range(WINDOW)]
    assert values[-1] == pytest.approx(1.0)
    assert values == sorted(values)


def test_ended_tracks_are_forgotten(encoder: TemporalEncoder) -> None:
    memory = Memory(encoder)
    neutral(memory, [1, 2], 0.0, 0.0, 0.0)
    memory.forget_but({2})
    assert neutral(memory, [1, 2], 0.1, 1.0, 1.0) == pytest.approx([1.0, 0.5])


def test_no_face_costs_nothing(encoder: TemporalEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "run", lambda *_: pytest.fail("ran"))
    assert Memory(encoder).read([], 0.0, []) == []


def test_a_stream_reads_with_the_encoder_and_raw_stays(bundle: Path, head: Image) -> None:
    recognizer = Recognizer(bundle, device="cpu", threads=1)
    stream, alone = recognizer.stream(), recognizer.stream(temporal=False)
    dark = cv2.convertScaleAbs(head, alpha=0.4)
    raws, average = [], Average(AFTER_ENCODER * 0.25)
    for i in range(12):
        image = scene(2 * i, dark if i % 2 else head)
        (face,), (filtered,) = stream.update(image, i / FPS), alone.update(image, i / FPS)
        assert face.raw is not None
        assert filtered.raw is not None
        assert face.raw.expression == filtered.raw.expression
        assert np.array_equal(face.box, filtered.box), "places are smoothed as without it"
        raws.append(face.raw.expression.probabilities["neutral"])
        mean = float(average.update(np.mean(raws[-WINDOW:]), 1 / FPS))
        assert face.expression.probabilities["neutral"] == pytest.approx(mean, abs=1e-5)
        assert filtered.expression.probabilities["neutral"] != pytest.approx(mean, abs=1e-9) or i == 0
    assert len(set(raws)) > 2


def test_the_state_outlives_frames_without_the_face(bundle: Path, head: Image) -> None:
    stream = Recognizer(bundle, device="cpu", threads=1).stream()
    empty = np.full((360, 640, 3), 90, np.uint8)
    dark = cv2.convertScaleAbs(head, alpha=0.4)
    for i in range(10):
        stream.update(scene(0, head), i / FPS)
    assert stream.update(empty, 10 / FPS) == []
    (face,) = stream.update(scene(0, dark), 14 / FPS)
    assert face.track_id == 1
    assert face.raw is not None
    assert face.expression.probabilities != pytest.approx(face.raw.expression.probabilities, abs=1e-4)


def test_a_baseline_and_min_confidence_work_on_what_the_encoder_says(bundle: Path, head: Image) -> None:
    plain = Recognizer(bundle, device="cpu", threads=1).stream(baseline=0.2)
    for i in range(20):
        (face,) = plain.update(scene(0, head), i / FPS)
    assert face.affect.valence == pytest.approx(0, abs=0.01)
    assert abs(face.raw.affect.valence) > 0.05  # type: ignore[union-attr]
    assert face.expression.label == "neutral"
    unsure = Recognizer(bundle, device="cpu", threads=1, min_confidence=0.999).stream()
    (face,) = unsure.update(scene(0, head), 0.0)
    assert face.expression.label == "uncertain"


def test_the_encoder_is_left_out_where_smoothing_is_off_and_taken_when_asked_for(bundle: Path) -> None:
    recognizer = Recognizer(bundle, device="cpu", threads=1)
    assert recognizer.stream()._memory is not None
    assert recognizer.stream(smoothing=0)._memory is None
    assert recognizer.stream(temporal=True, smoothing=0)._memory is not None
    assert recognizer.stream(temporal=False)._memory is None


def test_a_bundle_without_one_says_so(tiny_bundle: Path) -> None:
    recognizer = Recognizer(tiny_bundle, device="cpu", threads=1)
    assert recognizer.stream()._memory is None
    with pytest.raises(InputError, match="no temporal encoder"):
        recognizer.stream(temporal=True)
    with pytest.raises(InputError, match="True, False or None"):
        recognizer.stream(temporal="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "entry", [{"window": 0}, {"window": 5}, {"state": 9}, {"span": "long"}, {"window": 2.5}, {"window": True}]
)
def test_a_card_that_does_not_fit_is_refused(bundle_copy: Path, entry: dict[str, object]) -> None:
    folder = add_temporal(bundle_copy, **entry)
    with pytest.raises(ModelInvalid, match=r"temporal|window"):
        load_temporal(find_bundle(folder), None)


def test_an_altered_file_is_refused(bundle: Path) -> None:
    (bundle / "temporal.onnx").write_bytes(b"other")
    with pytest.raises(ModelInvalid, match="altered"):
        Recognizer(bundle, device="cpu").stream()
    with pytest.raises(ModelInvalid, match="cannot load"):
        Recognizer(change(bundle, {"temporal.onnx": b"other"}), device="cpu").stream()


def test_without_onnx_runtime_it_is_left_out_or_says_what_to_install(bundle: Path) -> None:
    code = (
        "import sys; from mien.bundle import find_bundle; from mien.tracking.temporal import load_temporal\n"
        "import mien.tracking.temporal; mien.tracking.temporal.find_spec = lambda name: None\n"
        "sys.modules['onnxruntime'] = None\n"
        "print(load_temporal(find_bundle(sys.argv[1]), None))\n"
        "try: load_temporal(find_bundle(sys.argv[1]), True)\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    result = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("None\n" + EngineUnavailable.__name__)
    assert 'pip install "mien[cpu]"' in result.stdout


def test_tokens_are_what_the_card_promises(encoder: TemporalEncoder) -> None:
    tokens, ages = encoder.blank()
    assert tokens.shape == (WINDOW - 1, STATE)
    readings, made = encoder.run([said(0.25, 0.5)], tokens[None], ages[None])
    assert made.shape == (1, STATE)
    assert readings[0][0]["neutral"] == pytest.approx(0.25)
    assert readings[0][1].valence == pytest.approx(0.5)


def test_streams_of_a_recognizer_share_one_encoder_and_learned_classes_leave_it_out() -> None:
    recognizer = Recognizer(device="cpu", precision="fp32", threads=1)
    one, other = recognizer.stream(), recognizer.stream(temporal=True)
    assert one._encoder is other._encoder is not None
    assert recognizer.stream(smoothing=0)._encoder is None
    assert recognizer.stream(temporal=False)._encoder is None
    assert recognizer.offline()._encoder is one._encoder


def test_with_expressions_learned_here_streams_keep_to_the_filters(portrait: Image) -> None:
    recognizer = Recognizer(device="cpu", precision="fp32", threads=1)
    recognizer.enroll("wink", [portrait], max_loss=1.0)
    stream = recognizer.stream()
    assert stream._encoder is None
    (face,) = stream.update(portrait, 0.0)
    assert "wink" in face.expression.probabilities
    with pytest.raises(InputError, match="does not know 'wink'"):
        recognizer.stream(temporal=True)
