"""Recognizer(exclude=...) and fer-run --exclude: a class is left out wherever a face is told."""

from __future__ import annotations

import csv
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_temporal import add_temporal

from mien import InputError, Recognizer, cli
from mien.types import EXPRESSIONS, Frame
from mien.vision.expression import Labeling

REST = tuple(label for label in EXPRESSIONS if label != "contempt")


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path) -> Recognizer:
    return Recognizer(tiny_bundle, threads=1)


@pytest.fixture(scope="module")
def seven(tiny_bundle: Path) -> Recognizer:
    return Recognizer(tiny_bundle, threads=1, exclude=["contempt"])


def test_the_others_share_the_probability_in_the_order_of_the_card(
    whole: Recognizer, seven: Recognizer, portrait: np.ndarray
) -> None:
    (all_eight,), (made,) = whole.predict(portrait), seven.predict(portrait)
    probabilities = all_eight.expression.probabilities
    assert tuple(made.expression.probabilities) == REST == seven.labels
    assert seven.card.labels == EXPRESSIONS
    for label, value in made.expression.probabilities.items():
        assert value == pytest.approx(probabilities[label] / (1 - probabilities["contempt"]))
    assert made.affect == all_eight.affect


def test_the_likeliest_class_is_never_told_when_it_is_left_out(
    tiny_bundle: Path, whole: Recognizer, portrait: np.ndarray
) -> None:
    (face,) = whole.predict(portrait)
    first = face.expression.label
    without = Recognizer(tiny_bundle, threads=1, exclude=(first,))
    (made,) = without.predict(portrait)
    runner_up = max((label for label in EXPRESSIONS if label != first), key=face.expression.probabilities.__getitem__)
    assert made.expression.label == runner_up
    with without.stream(temporal=False) as stream:
        (shown,) = stream.update(portrait, 0.0)
    assert first not in shown.expression.probabilities
    assert shown.expression.label == runner_up
    assert shown.raw is not None
    assert shown.raw.expression.label == first, "the raw reading is whole"


def test_a_temporal_encoder_reads_all_classes(tiny_bundle: Path, tmp_path: Path, portrait: np.ndarray) -> None:
    bundle = add_temporal(Path(shutil.copytree(tiny_bundle, tmp_path / "bundle")))
    both = [Recognizer(bundle, threads=1, exclude=left_out) for left_out in ((), ("contempt",))]
    frames = [portrait] * 4
    for read in (_streamed, _offline):
        eight, seven = (read(recognizer, frames) for recognizer in both)
        assert tuple(seven) == REST
        for label in REST:
            assert seven[label] == pytest.approx(eight[label] / (1 - eight["contempt"]), abs=1e-5)


def _streamed(recognizer: Recognizer, frames: list[np.ndarray]) -> dict[str, float]:
    # The average over time of shares is not the share of averages, so the last frame is told without it.
    with recognizer.stream(temporal=True, smoothing=0.0) as stream:
        shown = [stream.update(frame, i / 25) for i, frame in enumerate(frames)]
    return dict(shown[-1][0].expression.probabilities)


def _offline(recognizer: Recognizer, frames: list[np.ndarray]) -> dict[str, float]:
    offline = recognizer.offline(temporal=True)
    with recognizer.stream(temporal=False, smoothing=0.0) as stream:
        for i, image in enumerate(frames):
            offline.push(Frame(image, i / 25, i, ""), stream.update(image, i / 25))
    return dict(offline.finish()[0][1][0].expression.probabilities)


def test_nothing_left_of_the_others_is_no_division_by_zero() -> None:
    assert Labeling(exclude=("fear",)).without_excluded({"fear": 1.0, "anger": 0.0, "disgust": 0.0}) == {
        "anger": 0.5,
        "disgust": 0.5,
    }


@pytest.mark.parametrize(
    ("exclude", "says"),
    [
        ("contempt", "use a tuple of labels"),
        (("scorn",), "it has neutral, happiness"),
        (EXPRESSIONS, "leaves no expression"),
        (3, "use a tuple"),
    ],
)
def test_what_cannot_be_left_out_is_refused(tiny_bundle: Path, exclude: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Recognizer(tiny_bundle, threads=1, exclude=exclude)  # type: ignore[arg-type]


def test_pickles_keep_it(seven: Recognizer) -> None:
    assert pickle.loads(pickle.dumps(seven)).labels == REST


def test_the_command_leaves_it_out_of_every_table(tiny_bundle: Path, tmp_path: Path, portrait: np.ndarray) -> None:
    picture, table = tmp_path / "face.png", tmp_path / "faces.csv"
    cv2.imwrite(str(picture), portrait)
    words = [str(picture), "--model", str(tiny_bundle), "--exclude", "contempt", "--csv", str(table)]
    assert cli.run(cli.parse_args(words)) == 0
    (row,) = csv.DictReader(table.open())
    assert "p_contempt" not in row
    assert sum(float(row[f"p_{label}"]) for label in REST) == pytest.approx(1, abs=0.01)
