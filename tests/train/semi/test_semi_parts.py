"""Pools, draws, thresholds and the quality of pseudo-labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.data.batches import soft_targets
from mien_train.evaluation.predict import predict
from mien_train.models.checkpoints import load_student
from mien_train.recipe import Recipe, SemiRecipe
from mien_train.semi.draws import class_uniform, draws
from mien_train.semi.pools import Pools, load_sets_of, split_pools
from mien_train.semi.pseudo import Thresholds, pseudo_labels, pseudo_loss
from mien_train.semi.quality import TrainingStopped, judge, pseudo_quality


@pytest.fixture(scope="module")
def semi(recipe: Recipe) -> Recipe:
    how = SemiRecipe(labels=0.25, batch=8, lead=2, threshold=0.5)
    return replace(recipe, semi=how, optim=replace(recipe.optim, steps=4, batch=8))


def pools_of(recipe: Recipe, data: Path) -> Pools:
    return split_pools(*load_sets_of(recipe, data), recipe)


def encoded(sets: list[object]) -> list[bytes]:
    return [item.faces.encoded(i) for item in sets for i in range(len(item.faces))]  # type: ignore[attr-defined]


def test_a_set_keeps_its_labels_however_often_it_is_drawn(semi: Recipe, data: Path) -> None:
    often = replace(semi, data=replace(semi.data, train=("ferplus/train*3", "rafdb/train")))
    one, three = pools_of(semi, data), pools_of(often, data)
    assert encoded(three.labeled) == encoded(one.labeled)  # type: ignore[arg-type]
    assert encoded(three.judged) == encoded(one.judged)  # type: ignore[arg-type]


def test_a_quarter_keeps_its_labels_and_the_rest_is_judged(semi: Recipe, data: Path) -> None:
    pools = pools_of(semi, data)
    assert [len(item.faces) for item in pools.labeled] == [16, round(0.25 * len(encoded(whole_rafdb(semi, data))))]
    told, seen, judged = (set(encoded(part)) for part in (pools.labeled, pools.unlabeled, pools.judged))
    assert not told & judged
    assert told | judged < seen  # without their labels, all faces are there
    assert {item.faces.name for item in pools.judged} == {"ferplus/train", "rafdb/train"}
    assert "unlabelled/train" in {item.faces.name for item in pools.unlabeled}
    assert set(encoded(pools_of(semi, data).labeled)) == told
    assert set(encoded(pools_of(replace(semi, seed=1), data).labeled)) != told
    held_out = set(encoded(pools.validation))
    assert not held_out & seen


def whole_rafdb(recipe: Recipe, data: Path) -> list[object]:
    whole = pools_of(replace(recipe, semi=replace(recipe.semi, labels=1.0)), data)
    return [item for item in whole.labeled if item.faces.name == "rafdb/train"]


def test_with_all_labels_held_out_faces_are_judged(semi: Recipe, data: Path) -> None:
    pools = pools_of(replace(semi, semi=replace(semi.semi, labels=1.0)), data)
    assert pools.judged is pools.validation
    assert {item.faces.name for item in pools.unlabeled} == {"ferplus/train", "rafdb/train", "unlabelled/train"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": 0.001}, "no labeled face"),
        ({"labels": 1.0, "unlabelled": ()}, "no face without a label"),
        ({"unlabelled": ("none/train",)}, "no data set"),
    ],
)
def test_pools_of_nothing_are_refused(changes: dict[str, object], message: str, semi: Recipe, data: Path) -> None:
    with pytest.raises(InputError, match=message):
        pools_of(replace(semi, semi=replace(semi.semi, **changes)), data)  # type: ignore[arg-type]


def test_class_uniform_draws_classes_alike_across_sets(semi: Recipe, data: Path) -> None:
    pools = pools_of(semi, data)
    targets = [soft_targets(item.faces, 0.1) for item in pools.labeled]
    weights, label = class_uniform(targets), np.concatenate(targets).argmax(1)
    shares = np.bincount(label, weights / weights.sum(), minlength=8)
    present = np.bincount(label, minlength=8) > 0
    np.testing.assert_allclose(shares[present], 1 / present.sum())
    lopsided = np.eye(8, dtype=np.float32)[[0] * 9 + [7]]
    np.testing.assert_allclose(class_uniform([lopsided[:4], lopsided[4:]]), [1 / 9] * 9 + [1])


def test_draws_resume_and_show_two_views_of_one_face(semi: Recipe, data: Path) -> None:
    pools = pools_of(semi, data)
    whole = list(draws(pools, semi, 0, 6))
    assert [len(step.weak) for step in whole] == [0, 0, 8, 8, 8, 8]  # the teacher leads by two
    for start in (1, 3):
        for made, wanted in zip(draws(pools, semi, start, 6), whole[start:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(made, wanted, strict=True))
    step = whole[3]
    assert not torch.equal(step.weak, step.strong)
    # Eight tints of one face: two views of the same have about the same colors, those of others do not.
    color = [part.float().mean((1, 2)) for part in (step.weak, step.strong)]
    apart = torch.cdist(*color)
    assert apart.diagonal().mean() < 0.6 * apart.mean()


def test_a_larger_teacher_sees_the_same_faces_larger(semi: Recipe, data: Path) -> None:
    large = replace(semi, semi=replace(semi.semi, teacher_size=48))
    lead, *_, step = draws(pools_of(semi, data), large, 1, 4)
    assert (len(lead.crops), lead.large.shape) == (0, (16, 48, 48, 3))
    sizes = [part.shape[1] for part in (step.crops, step.large, step.weak, step.strong)]
    assert sizes == [semi.crop.size, 48, 48, semi.crop.size]
    shrunk = F.interpolate(step.large.permute(0, 3, 1, 2).float(), semi.crop.size, mode="area").permute(0, 2, 3, 1)
    apart = torch.cdist(shrunk.flatten(1), step.crops.float().flatten(1))
    assert torch.equal(apart.argmin(1), torch.arange(8))


def test_without_a_teacher_a_step_has_as_many_faces(semi: Recipe, data: Path) -> None:
    alone = replace(semi, semi=replace(semi.semi, pseudo=False, batch=12))
    for step in draws(pools_of(alone, data), alone, 0, 3):
        assert (len(step.crops), len(step.large), len(step.weak)) == (20, 0, 0)
    with pytest.raises(InputError, match="2 or more"):
        next(draws(pools_of(semi, data), replace(semi, semi=replace(semi.semi, batch=0)), 0, 3))


def test_a_class_of_which_the_teacher_is_less_sure_needs_less() -> None:
    thresholds = Thresholds(0.8)
    sure = torch.full((6, 8), 0.01)
    sure[:3, 1], sure[3:, 4] = 0.93, 0.465
    for _ in range(200):
        thresholds.update(sure)
    levels = thresholds.levels()
    assert levels[1] == pytest.approx(0.8, abs=1e-3)
    assert levels[4] == pytest.approx(0.4, abs=1e-3)
    assert levels[0] == pytest.approx(0.8 * 0.8 / 0.93, abs=1e-3)  # never seen: its start
    logits = torch.tensor([[0.75, 1], [0.85, 1], [0.35, 4], [0.45, 4]])
    rows = torch.full((4, 8), 0.0)
    for row, (p, c) in zip(rows, logits, strict=True):
        row[:] = (1 - p) / 7
        row[int(c)] = p
    label, kept = pseudo_labels(rows.log(), levels)
    assert label.tolist() == [1, 1, 4, 4]
    assert kept.tolist() == [False, True, False, True]


def test_the_loss_counts_kept_faces_alone() -> None:
    logits = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 1, 2, 3])
    kept = torch.tensor([True, False, False, True])
    expected = -(logits.log_softmax(1)[0, 0] + logits.log_softmax(1)[3, 3]) / 4
    torch.testing.assert_close(pseudo_loss(logits, label, kept), expected)
    assert pseudo_loss(logits, label, torch.zeros(4, dtype=torch.bool)) == 0


def test_quality_is_counted_on_hidden_labels(teacher: Path, semi: Recipe, data: Path) -> None:
    network, _, _ = load_student(teacher)
    judged = pools_of(semi, data).judged
    quality = pseudo_quality(network, judged, semi.crop, torch.full((8,), 0.3), 10_000)
    made = [predict(network, item, semi.crop) for item in judged]
    logits = torch.from_numpy(np.concatenate([part.logits for part in made]))
    truth = torch.from_numpy(np.concatenate([part.expression for part in made]))
    sure, label = logits.softmax(1).max(1)
    kept = sure >= 0.3
    assert quality["images"] == len(truth)
    assert quality["kept"] == pytest.approx(kept.float().mean().item(), abs=1e-4)
    assert quality["accuracy"] == pytest.approx((label == truth)[kept].float().mean().item(), abs=1e-4)
    assert quality["accuracy_all"] == pytest.approx((label == truth).float().mean().item(), abs=1e-4)
    assert sum(quality["classes"].values()) == pytest.approx(1, abs=1e-3)
    assert quality["truth"][EXPRESSIONS[7]] < quality["truth"][EXPRESSIONS[0]]  # one set knows no contempt
    few = pseudo_quality(network, judged, semi.crop, torch.full((8,), 0.3), 20)
    assert few["images"] == pytest.approx(20, abs=1)
    none = pseudo_quality(network, judged, semi.crop, torch.full((8,), 1.1), 20)
    assert (none["kept"], none["accuracy"]) == (0, None)
    assert "sure enough" in judge(none, 0.6)


def test_poor_pseudo_labels_are_warned_of_or_stop() -> None:
    quality = {"accuracy": 0.55, "images": 100}
    assert "55.0%" in judge(quality, 0.0)
    assert "better off without" in judge(quality, 0.5)
    with pytest.raises(TrainingStopped, match=r"55\.0%.*--stop-below 0\.6"):
        judge(quality, 0.6)
    assert judge({"accuracy": 0.65, "images": 100}, 0.6) == ""
