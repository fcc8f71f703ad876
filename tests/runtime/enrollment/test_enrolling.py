"""Expressions that the recognizer learns from pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_exemplars import add_exemplars

from mien import InputError, ModelInvalid, Recognizer
from mien.cli.console import table
from mien.enrollment.classes import Examples, Personal
from mien.sinks.records import Csv, record
from mien.types import EXPRESSIONS, Face, Frame, Image
from mien.vision.expression import Labeling


def test_a_portrait_is_learned_and_told_everywhere(fresh: Recognizer, portrait: Image, tmp_path: Path) -> None:
    running = fresh.stream(smoothing=0.2)
    running.update(portrait, 0.0)
    report = fresh.enroll("grin, wide", [portrait, np.ascontiguousarray(portrait[40:200, 150:300])])
    assert report.loss <= 0.01
    assert report.examples == 2
    assert fresh.labels == (*EXPRESSIONS, "grin, wide")
    (face,) = fresh.predict(portrait)
    assert face.expression.label == "grin, wide"
    assert list(face.expression.probabilities) == list(fresh.labels)
    assert sum(face.expression.probabilities.values()) == pytest.approx(1)
    (old,) = running.update(portrait, 0.04)
    assert list(old.expression.probabilities) == list(EXPRESSIONS), "a stream goes on with the classes it began with"
    with fresh.stream(smoothing=0.2, baseline=0.1) as stream:
        seen: list[Face] = []
        for i in range(8):
            seen += stream.update(portrait, i / 10)
    assert len({face.track_id for face in seen}) == 1
    assert set(seen[-1].expression.probabilities) == set(fresh.labels)
    assert sum(seen[-1].expression.probabilities.values()) == pytest.approx(1)
    frame = Frame(portrait, 0.0, 0, "x")
    sink = Csv(str(tmp_path / "x.csv"), fresh.labels)
    sink.write(frame, [face])
    sink.close()
    head, row = (tmp_path / "x.csv").read_text().splitlines()
    assert '"p_grin, wide"' in head
    assert '"grin, wide"' in row
    assert record(frame, 0, face)["probabilities"]["grin, wide"] > 0.3
    first, second = table(frame, [face]).splitlines()[1:]
    assert first.index("confidence") + len("confidence") == second.index("%") + 1


def test_min_confidence_holds_for_learned_classes(fresh: Recognizer, portrait: Image) -> None:
    fresh.enroll("grin", [portrait])
    fresh._model.labeling = Labeling(0.999)
    try:
        assert fresh.predict(portrait)[0].expression.label == "uncertain"
    finally:
        fresh._model.labeling = Labeling()


def test_pictures_that_cannot_be_learned_from_change_nothing(fresh: Recognizer, portrait: Image) -> None:
    blank = np.zeros((300, 300, 3), np.uint8)
    two = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    for pictures, told in (
        ([], "no pictures"), ([blank], "no face found in picture 1 of 1"), ([portrait, blank], "picture 2 of 2"),
        ([two], "picture 1 shows 2 faces"), ([None], "frame is None"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=told):
            fresh.enroll("grin", pictures)
    assert fresh.labels == EXPRESSIONS
    assert fresh.enroll("grin", [portrait, blank], skip_faceless=True).skipped == 1
    with pytest.raises(InputError, match="max_loss"):
        fresh.enroll("pout", [portrait], max_loss=0)


def test_a_bundle_without_exemplars_says_how_to_make_them(
    tiny_bundle: Path, bundle_copy: Path, portrait: Image, make_exemplars: Callable[[Path], Path]
) -> None:
    with pytest.raises(ModelInvalid, match="fer-export BUNDLE --exemplars"):
        Recognizer(tiny_bundle, threads=1).enroll("grin", [portrait])
    recognizer = Recognizer(make_exemplars(bundle_copy), threads=1)
    green = portrait.copy()
    green[..., [0, 2]] //= 3
    recognizer.enroll("green", [green], max_loss=0.2)
    assert recognizer.labels[-1] == "green"
    (bundle_copy / "exemplars.npz").write_bytes(b"x")
    with pytest.raises(ModelInvalid, match="altered"):
        recognizer.enroll("more", [green])


@pytest.fixture
def make_exemplars() -> Callable[[Path], Path]:
    return add_exemplars


def test_two_threads_that_learn_at_once_lose_nothing(
    fresh: Recognizer, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(personal: Personal, label: str, new: Examples, *_: object) -> tuple[Personal, None]:
        time.sleep(0.1)
        weights = np.zeros((8 + new.embedding.shape[1] + 1, len(personal.labels) + 1), np.float32)
        return replace(personal, examples={**personal.examples, label: new}, weights=weights), None

    monkeypatch.setattr("mien.enrolling.learn", slow)
    threads = [threading.Thread(target=fresh.enroll, args=(name, [portrait])) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fresh.personal.labels) == ["a", "b", "c"]
