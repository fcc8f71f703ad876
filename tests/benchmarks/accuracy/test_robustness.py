"""Corruptions do what they say and keep the landmarks on the face; losses are told from the clean picture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_data import write_split

from benchmarks.accuracy import corruptions, robustness
from benchmarks.accuracy import robustness_report as report
from mien.align import CropSpec, crop, crop_matrix
from mien.bundle import find_bundle
from mien.bundle.card import read_card
from mien.engines import load_engine
from mien.types import Image
from mien.vision.detector import load_detector

KIND = {kind.name: kind for kind in corruptions.KINDS}


@pytest.fixture(scope="module")
def shown(portrait: Image) -> Any:
    (face, *_) = load_detector().detect(portrait)
    return corruptions.Shown(portrait, face.box, face.landmarks)


def change(name: str, shown: Any, strength: float, seed: int = 0) -> Any:
    return KIND[name].change(shown, strength, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", corruptions.KINDS, ids=lambda kind: kind.name)
def test_the_severer_the_farther_from_the_clean_picture_which_stays_as_it_was(kind: Any, shown: Any) -> None:
    before, gaps = shown.image.copy(), []
    for strength in kind.strengths:
        made = change(kind.name, shown, strength)
        assert made.image.dtype == np.uint8
        assert np.array_equal(made.image, change(kind.name, shown, strength).image)  # the same seed, the same picture
        if made.image.shape == shown.image.shape:
            gaps.append(np.abs(made.image.astype(int) - before).mean())
    assert np.array_equal(shown.image, before)
    assert all(a < b for a, b in pairwise(gaps))
    assert not gaps or gaps[0] > 0


@pytest.mark.parametrize(("name", "strength"), [("rotation", 25), ("small face", 64)])
def test_landmarks_move_with_the_picture(name: str, strength: float, shown: Any) -> None:
    # Judged by what is cut there: the detector's landmarks stay nearly level where a face is turned.
    def cut(image: Image, face: Any) -> Any:
        return crop(image, crop_matrix(CropSpec(48, "landmarks"), face.box, face.landmarks), 48).astype(int)

    made, clean = change(name, shown, strength), cut(shown.image, shown)
    moved, unmoved = (np.abs(cut(made.image, face) - clean).mean() for face in (made, shown))
    assert moved < 6 < 2 * moved + 10 < unmoved


def test_a_small_face_has_the_side_asked_for_and_a_smaller_one_stays(shown: Any) -> None:
    made = change("small face", shown, 32)
    assert made.side == pytest.approx(32, rel=0.02)
    assert change("small face", made, 48).image.shape == made.image.shape


@pytest.mark.parametrize(
    ("name", "points", "spared"), [("eyes covered", (0, 1), (3, 4)), ("mouth covered", (3, 4), (0, 1))]
)
def test_what_is_covered_is_where_the_landmarks_are(
    name: str, points: tuple[int, int], spared: tuple[int, int], shown: Any
) -> None:
    made = change(name, shown, KIND[name].strengths[0])
    for k in points:
        x, y = np.rint(shown.landmarks[k]).astype(int)
        assert np.ptp(made.image[y - 3 : y + 4, x - 3 : x + 4]) == 0
    for k in spared:
        x, y = np.rint(shown.landmarks[k]).astype(int)
        assert np.array_equal(made.image[y, x], shown.image[y, x])


def test_covering_survives_landmarks_that_fell_into_one(shown: Any) -> None:
    flat = corruptions.Shown(shown.image, shown.box, np.repeat(shown.landmarks[2:3], 5, axis=0))
    assert not np.array_equal(change("eyes covered", flat, 0.9).image, shown.image)


def test_a_face_that_is_not_found_is_wrong_but_the_network_still_reads_it(shown: Any, tiny_bundle: Path) -> None:
    bundle = find_bundle(tiny_bundle)
    engine = load_engine(bundle.model_file(), threads=1)
    reader = robustness.Reader(load_detector(min_score=0.5), {"fp32": engine}, bundle.card.crop)
    part = shown.image[40:200, 150:300]
    box, points = shown.box - [150, 40, 150, 40], shown.landmarks - [150, 40]
    faces = [corruptions.Shown(image, box, points) for image in (part, np.full_like(part, 128))]
    made = reader.read(faces, np.array([2, 5]))
    assert made["fp32"][0] in (2, 5)
    assert made["fp32"][1] == -1
    assert set(made["network"]) <= {2, 5}


def test_losses_and_intervals() -> None:
    before, after = np.array([True] * 8 + [False] * 2), np.array([True] * 5 + [False] * 4 + [True])
    points, low, high = robustness.lost(before, after)
    assert points == pytest.approx(20)
    assert low < 20 < high
    assert robustness.lost(before, before) == [0, 0, 0]
    share, low, high = robustness.interval(np.ones(20, bool))
    assert (share, high) == (1, 1)
    assert low == pytest.approx(0.839, abs=0.001)


def test_a_whole_set_does_not_depend_on_the_number_of_workers(
    tmp_path: Path, portrait: Image, tiny_bundle: Path
) -> None:
    from mien_train.data.sets import load_with_landmarks

    write_split(tmp_path / "rafdb", "test", portrait, [0, 1, 2, 3, 1], seed=0)
    item = load_with_landmarks("rafdb/test", tmp_path)
    rows = robustness.chosen(item, 0)
    assert set(item.faces.expression[rows]) <= {0, 1, 2, 3}
    assert len(robustness.chosen(item, 2)) == 2
    bundle = find_bundle(tiny_bundle)
    engine = load_engine(bundle.model_file(), threads=1)
    reader = robustness.Reader(load_detector(min_score=0.5), {"fp32": engine}, bundle.card.crop)
    one, two = (robustness.measure(reader, item, rows, workers) for workers in (1, 2))
    assert one == two
    assert len(one["cases"]) == sum(len(kind.strengths) for kind in corruptions.KINDS)
    told = {"precisions": ["fp32"], "sets": {"rafdb/test": one}}
    assert len(report.table(told).splitlines()) == len(one["cases"]) + 1
    report.plot(told, tmp_path / "made.png")
    assert (tmp_path / "made.png").stat().st_size > 10_000


def test_the_model_card_hears_of_losses_worth_saying_the_worst_first() -> None:
    cases = [
        {
            "kind": kind.name,
            "strength": strength,
            "found": 1.0,
            "loss": {"fp32": [0.4, 0, 1]},
            "network alone": [0, 0, 0],
        }
        for kind in corruptions.KINDS
        for strength in kind.strengths
    ]
    for case in cases:
        if case["kind"] == "noise":
            case["loss"], case["found"] = {"fp32": [12.0 * (case["strength"] > 10), 0, 0]}, 0.9
        if case["kind"] == "rotation" and case["strength"] == 30:
            case["loss"] = {"fp32": [31.0, 0, 0]}
    first, second, last = report.limits({"precisions": ["fp32"], "sets": {"a": {"cases": cases}}})
    assert first == "rotation: ± 30°: 31"
    assert second.startswith("noise: σ 20 levels: 12 (10% of the faces not found); σ 40 levels")
    assert last.startswith("under 5 points: ")
    assert "noise" not in last
    assert "small face up to 24 px" in last


def test_the_card_tells_the_worst_cases_of_the_last_run_only(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    before = read_card(folder)
    for lines in (["noise: 6"], ["blur: 7", "under 5 points: grey"]):
        report.write_card({"limits": lines}, folder)
    card = read_card(folder)
    assert card.limits == f"{before.limits} {report.PREFACE} blur: 7; under 5 points: grey."
    assert replace(card, limits="") == replace(before, limits="")
    assert "blur: 7" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
