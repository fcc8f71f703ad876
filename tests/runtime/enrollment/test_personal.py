"""Expressions learned on the device: as rules on drawn numbers, and with the packaged model on a portrait."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_exemplars import add_exemplars

from mien import EnrolmentRefused, InputError, ModelInvalid, OutputError, Recognizer, SourceError
from mien.cli.console import table
from mien.enrollment.classes import Examples, Personal
from mien.enrollment.fitting import Fitter, logistic
from mien.enrollment.learn import MAX_CLASSES, learn
from mien.enrollment.neutral import Baseline
from mien.enrollment.reference_faces import Exemplars
from mien.enrollment.storage import load_personal, save_personal
from mien.sinks.records import Csv, record
from mien.types import EXPRESSIONS, Affect, Face, Frame, Image
from mien.vision.expression import Labeling

WIDTH = 40
EMPTY = Personal("a model", EXPRESSIONS)


def drawn(count: int, seed: int, shift: float = 0.0, direction: int = 9) -> Examples:
    """Faces that show one of eight expressions or, with a ``shift``, neutral ones with something of their own along a
    ``direction``."""
    random = np.random.default_rng(seed)
    label = np.arange(count) % (1 if shift else 8)
    embedding = random.normal(0, 1, (count, WIDTH)).astype(np.float32)
    embedding[np.arange(count), label] += 4
    embedding[:, direction] += shift
    logits = 2.0 * embedding[:, :8]
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return Examples(embedding, (weights / weights.sum(1, keepdims=True)).astype(np.float32))


@pytest.fixture(scope="module")
def exemplars() -> Exemplars:
    faces = drawn(1600, 0)
    mean = faces.embedding.mean(0)
    return Exemplars(
        np.arange(1600) % 8,
        np.arange(1600) // 800,
        faces.probabilities,
        faces.embedding - mean,
        mean,
        np.eye(WIDTH, dtype=np.float32),
        "drawn",
    )


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(device="cpu", precision="fp32", threads=1)


@pytest.fixture
def fresh(recognizer: Recognizer) -> Recognizer:
    recognizer.personal = Personal(recognizer.personal.model, recognizer.personal.basic)
    return recognizer


def test_logistic_finds_where_the_slope_is_flat() -> None:
    random = np.random.default_rng(0)
    inputs, positive = random.normal(0, 1, (60, 4)), random.random(60) < 0.4
    weight, start, hold = random.random(60), random.normal(0, 1, 4), np.full(4, 0.5)
    found = logistic(inputs, positive, weight, start, hold)
    share = 1 / (1 + np.exp(-inputs @ found))
    assert inputs.T @ (weight * (share - positive)) + hold * (found - start) == pytest.approx(np.zeros(4), abs=0.02)


def test_a_class_is_told_from_basic_ones_and_costs_no_more_than_allowed(exemplars: Exemplars) -> None:
    made, report = learn(EMPTY, "wink", drawn(5, 1, shift=9), exemplars)
    others, same = drawn(800, 2), drawn(80, 3, shift=9)
    new, basic = made.read(same.probabilities, same.embedding), made.read(others.probabilities, others.embedding)
    assert new.sum(1) == pytest.approx(np.ones(80))
    assert basic.sum(1) == pytest.approx(np.ones(800))
    assert (new.argmax(1) == 8).mean() > 0.9
    assert (basic.argmax(1) == 8).mean() < 0.02
    assert report.loss <= 0.01
    assert report.recognised == 1.0
    assert report.examples == 5
    assert "wink: 5 examples, 100% recognized" in str(report)


@pytest.mark.parametrize("limit", [0.005, 0.05])
def test_the_loss_reported_is_what_the_judging_half_loses(exemplars: Exemplars, limit: float) -> None:
    """Classes that overlap with basic ones press against the limit, all together."""
    personal = EMPTY
    for i in range(3):
        personal, report = learn(personal, f"new {i}", drawn(20, 10 + i, shift=4, direction=8 + i), exemplars, limit)
    odd = Fitter(exemplars, limit).judges
    embedding = exemplars.places + exemplars.mean
    read = personal.read(exemplars.probabilities[odd], embedding[odd])
    before = (exemplars.probabilities[odd].argmax(1) == exemplars.label[odd]).mean()
    assert report.loss == pytest.approx(before - (read.argmax(1) == exemplars.label[odd]).mean(), abs=1e-6)
    assert 0 < report.loss <= limit


def test_each_source_of_basic_faces_keeps_its_accuracy(exemplars: Exemplars) -> None:
    """A class that only resembles the faces of one source must not spend what the other one saves."""
    second = exemplars.source == 1
    places = exemplars.places.copy()
    places[second, 9] += 3
    skewed = replace(exemplars, places=places)
    made, _ = learn(EMPTY, "wink", drawn(20, 1, shift=5), skewed, 0.02)
    rows = np.flatnonzero(second & Fitter(skewed, 0.02).judges)
    read = made.read(skewed.probabilities[rows], places[rows] + exemplars.mean)
    right = skewed.probabilities[rows].argmax(1) == skewed.label[rows]
    assert 0 < (right & (read.argmax(1) == 8)).mean() <= 0.02


def test_examples_that_disagree_are_refused(exemplars: Exemplars) -> None:
    with pytest.raises(EnrolmentRefused, match=r"50 examples of 'mixed' do not agree|looks too much like"):
        learn(EMPTY, "mixed", drawn(50, 4), exemplars)
    learn(EMPTY, "of one kind", drawn(50, 4, shift=9), exemplars)


def test_a_copy_of_a_basic_class_is_refused_and_named(exemplars: Exemplars) -> None:
    glad = drawn(80, 5)
    rows = np.arange(80) % 8 == 1
    with pytest.raises(EnrolmentRefused, match=r"looks too much like happiness.*allow a larger loss"):
        learn(EMPTY, "glee", Examples(glad.embedding[rows], glad.probabilities[rows]), exemplars, 0.001)


def test_a_copy_of_a_learned_class_is_refused_and_named(exemplars: Exemplars) -> None:
    made, _ = learn(EMPTY, "wink", drawn(20, 1, shift=9), exemplars)
    with pytest.raises(EnrolmentRefused, match="looks like 'wink', learned before"):
        learn(made, "blink", drawn(20, 50, shift=9), exemplars)


def test_the_same_example_cannot_have_two_labels(exemplars: Exemplars) -> None:
    examples = drawn(3, 1, shift=9)
    made, _ = learn(EMPTY, "wink", examples, exemplars)
    with pytest.raises(InputError, match="example 1 of 'blink' is an example of 'wink' already"):
        learn(made, "blink", examples, exemplars)
    with pytest.raises(InputError, match="example 1 of 'wink' is an example of 'wink' already; leave it out"):
        learn(made, "wink", examples, exemplars)
    more, report = learn(made, "wink", drawn(3, 7, shift=9), exemplars)
    assert report.examples == len(more.examples["wink"]) == 6
    assert len(made.examples["wink"]) == 3


def test_many_classes_share_the_limit_and_there_is_an_end(exemplars: Exemplars) -> None:
    made = EMPTY
    for i in range(20):
        made, report = learn(made, f"new {i}", drawn(3, 100 + i, shift=9, direction=10 + i), exemplars)
    others = drawn(200, 2)
    assert made.read(others.probabilities, others.embedding).sum(1) == pytest.approx(np.ones(200))
    assert report.loss <= 0.01
    full = replace(made, examples={f"x{i}": drawn(1, 900 + i, shift=9) for i in range(MAX_CLASSES)})
    with pytest.raises(InputError, match="32 learned expressions already"):
        learn(full, "one more", drawn(3, 1, shift=9), exemplars)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("happiness", "knows already"), ("Uncertain", "knows already"), ("  ", "empty"), ("a\x00b", "unprintable"),
        ("x" * 41, "longer than 40"), ("WINK", "'wink' exists already"), (3, "is int"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be(exemplars: Exemplars, label: str, told: str) -> None:
    made, _ = learn(EMPTY, "wink", drawn(2, 1, shift=9), exemplars)
    with pytest.raises(InputError, match=told):
        learn(made, label, drawn(2, 2, shift=9), exemplars)


def test_rename_and_remove_leave_the_others_as_they_were(exemplars: Exemplars) -> None:
    made, _ = learn(EMPTY, "wink", drawn(5, 1, shift=9), exemplars)
    made, _ = learn(made, "pout", drawn(5, 2, shift=9, direction=10), exemplars)
    face = drawn(8, 3, shift=9)
    before = made.read(face.probabilities, face.embedding)
    renamed = made.renamed("wink", "left wink")
    assert renamed.labels == ("left wink", "pout")
    assert made.labels == ("wink", "pout")
    assert renamed.read(face.probabilities, face.embedding) == pytest.approx(before)
    left = made.removed("pout").read(face.probabilities, face.embedding)
    assert left[:, 8] / left[:, 0] == pytest.approx(before[:, 8] / before[:, 0])
    for wrong in (lambda: made.renamed("x", "y"), lambda: made.removed("x"), lambda: made.renamed("wink", "pout")):
        with pytest.raises(InputError, match=r"there is|exists already"):
            wrong()


def test_rest_is_divided_out_of_the_basic_share_alone(exemplars: Exemplars) -> None:
    made, _ = learn(EMPTY, "wink", drawn(5, 1, shift=9), exemplars)
    looks = np.full(8, 0.05)
    looks[[0, 2]] = 0.2, 0.5
    rest = Baseline(dict(zip(EXPRESSIONS, looks, strict=True)), Affect(-0.5, 0.1))
    settled = replace(made, rest=rest)
    basic, embedding = looks[None].astype(np.float32), drawn(1, 9).embedding
    plain, corrected = made.read(basic, embedding), settled.read(basic, embedding)
    assert plain[0, :8].argmax() == 2
    assert corrected[0, :8].argmax() == 0
    assert corrected[0, 8] == pytest.approx(plain[0, 8])
    assert corrected.sum() == pytest.approx(1)
    assert settled.shift(Affect(-0.5, 0.1)) == Affect(0, 0)


def test_the_file_gives_back_what_was_saved(recognizer: Recognizer, exemplars: Exemplars, tmp_path: Path) -> None:
    card, path = recognizer.card, tmp_path / "p.npz"
    random = np.random.default_rng(0)
    held = Examples(random.normal(0, 1, (3, card.embedding)).astype(np.float32), np.full((3, 8), 0.125, np.float32))
    weights = random.normal(0, 0.1, (8 + card.embedding + 1, 1)).astype(np.float32)
    rest = Baseline(dict.fromkeys(EXPRESSIONS, 0.125), Affect(-0.2, 0.1))
    saved = Personal(recognizer.personal.model, card.labels, {"glücklich, müde": held}, weights, rest)
    save_personal(saved, path)
    loaded = load_personal(path, card)
    assert loaded.labels == saved.labels
    assert loaded.rest == rest
    assert (loaded.weights == weights).all()
    assert path.stat().st_size < 20_000
    assert [item.name for item in tmp_path.iterdir()] == ["p.npz"]


@pytest.mark.parametrize("harm", ["cut", "bytes", "pickle", "shape", "nan", "format", "empty", "text"])
def test_a_damaged_file_is_refused_in_words(recognizer: Recognizer, tmp_path: Path, harm: str) -> None:
    path, card = tmp_path / "p.npz", recognizer.card
    held = Examples(np.zeros((2, card.embedding), np.float32), np.full((2, 8), 0.125, np.float32))
    weights = np.zeros((8 + card.embedding + 1 + (harm == "shape"), 1), np.float32)
    if harm == "nan":
        weights[3] = np.nan
    save_personal(Personal(recognizer.personal.model, card.labels, {"wink": held}, weights), path)
    data = path.read_bytes()
    if harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "bytes":
        path.write_bytes(data[:200] + bytes(200) + data[400:])
    elif harm == "pickle":
        np.savez(path, told=np.array([{"a": 1}], dtype=object))
    elif harm == "format":
        np.savez(path, told=np.array(json.dumps({"format": 99})))
    elif harm in ("empty", "text"):
        path.write_text("" if harm == "empty" else "not a file of numbers")
    with pytest.raises(InputError, match=r"damaged|format 99"):
        Recognizer(device="cpu", precision="fp32", threads=1, personal=path)


def test_a_file_of_another_model_and_no_file(fresh: Recognizer, tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    fresh.save_personal(path)
    with pytest.raises(InputError, match="learned with another model than tiny"):
        Recognizer(tiny_bundle, threads=1, personal=path)
    with pytest.raises(InputError, match="learned with another model"):
        fresh.personal = Personal("another", EXPRESSIONS)
    with pytest.raises(SourceError, match="fer-enroll makes such files"):
        Recognizer(tiny_bundle, threads=1, personal=tmp_path / "none.npz")
    with pytest.raises(OutputError, match="cannot write"):
        fresh.save_personal(tmp_path / "no" / "p.npz")


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


def test_a_smile_is_no_face_at_rest(fresh: Recognizer, portrait: Image) -> None:
    with pytest.raises(EnrolmentRefused, match="clearly show happiness"):
        fresh.enroll_neutral([portrait])
    assert fresh.personal.rest is None


def test_a_face_at_rest_is_taken_off(tiny_bundle: Path, tmp_path: Path, portrait: Image) -> None:
    """The tiny model sees the astronaut as hardly anything; what it sees becomes neutral without affect."""
    recognizer = Recognizer(tiny_bundle, threads=1)
    (before,) = recognizer.predict(portrait)
    recognizer.enroll_neutral([portrait])
    (after,) = recognizer.predict(portrait)
    assert after.expression.probabilities["neutral"] > before.expression.probabilities["neutral"]
    assert abs(after.affect.valence) < 1e-6 < abs(before.affect.valence)
    recognizer.save_personal(tmp_path / "p.npz")
    (again,) = Recognizer(tiny_bundle, threads=1, personal=tmp_path / "p.npz").predict(portrait)
    assert again.affect == after.affect


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


def test_unfolded_weights_are_those_that_were_fitted(exemplars: Exemplars) -> None:
    fitter, examples = Fitter(exemplars, 0.01), drawn(6, 1, shift=3)
    rows = fitter.inputs(examples)
    fitted = fitter.fit(rows, [])
    made = Personal("", EXPRESSIONS, {"wink": examples}, fitter.unfold([fitted]))
    odds = made.read(examples.probabilities, examples.embedding)[:, 8]
    assert odds / (1 - odds) == pytest.approx(np.exp(rows @ fitted), rel=1e-3)


def test_shutil_is_not_needed_to_move_a_file(fresh: Recognizer, portrait: Image, tmp_path: Path) -> None:
    """A personal file may be copied to another machine with the same bundle."""
    fresh.enroll("grin", [portrait])
    fresh.save_personal(tmp_path / "a.npz")
    shutil.copy(tmp_path / "a.npz", tmp_path / "b.npz")
    (face,) = Recognizer(device="cpu", precision="int8", threads=1, personal=tmp_path / "b.npz").predict(portrait)
    assert face.expression.label == "grin", "in another precision of the same model, too"
