"""What a semi-supervised teacher sees and when it learns, on made-up data."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mien_train.loop.schedule import rate_factor
from mien_train.models.checkpoints import load_checkpoint, load_student
from mien_train.recipe import Recipe, SemiRecipe
from mien_train.semi.compare import ARMS
from mien_train.semi.pools import load_sets_of, split_pools
from mien_train.semi.step import RESTING_RATE, Learner, Pair
from mien_train.semi.train import train_semi


@pytest.fixture(scope="module")
def semi(recipe: Recipe) -> Recipe:
    how = SemiRecipe(labels=0.5, batch=16, lead=3, threshold=0.01)
    return replace(recipe, semi=how, data=replace(recipe.data, affect=""), optim=replace(recipe.optim, steps=5))


def with_semi(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, semi=replace(recipe.semi, **changes))  # type: ignore[arg-type]


def trained(recipe: Recipe, data: Path, out: Path) -> Path:
    return train_semi(recipe, split_pools(*load_sets_of(recipe, data), recipe), out, threads=1)


def test_a_teacher_may_see_more_than_its_student(semi: Recipe, data: Path, tmp_path: Path) -> None:
    seen = []
    handle = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, given: seen.append(given[0].shape[1]) if type(module).__name__ == "Student" else None
    )
    try:
        state = load_checkpoint(trained(with_semi(semi, teacher_size=48), data, tmp_path))
    finally:
        handle.remove()
    assert {semi.crop.size, 48} == set(seen)
    assert state["step"] == 8
    assert load_student(tmp_path / "student.pt")[1].crop.size == semi.crop.size


@pytest.mark.parametrize("arm", ["labels", "+ uniform", "+ feedback"])
def test_every_student_makes_the_same_steps(
    arm: str, semi: Recipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: dict[str, list[float]] = {}
    real = Learner.descend

    def watched(self: Learner, loss: torch.Tensor) -> list[torch.Tensor]:
        rates.setdefault(self.name, []).append(self.optimizer.param_groups[0]["lr"])
        return real(self, loss)

    def named(self: Pair, *given: object) -> None:
        init(self, *given)  # type: ignore[arg-type]
        self.student.name, self.teacher.name = "student", "teacher"  # type: ignore[attr-defined]

    init = Pair.__init__
    monkeypatch.setattr(Learner, "descend", watched)
    monkeypatch.setattr(Pair, "__init__", named)
    recipe = with_semi(semi, **ARMS[arm])
    trained(recipe, data, tmp_path)
    peak = recipe.optim.rate
    assert rates["student"] == [r for step in range(5) for r in [peak * rate_factor(step, 5, recipe.optim.warmup)] * 2]
    taught = [r for step in range(3) for r in [peak * max(RESTING_RATE, rate_factor(step, 3, recipe.optim.warmup))] * 2]
    after = {"labels": [], "+ uniform": taught, "+ feedback": [*taught, *[peak * RESTING_RATE] * 5]}
    assert rates.get("teacher", []) == after[arm]
