"""The teacher's update against the exact meta-gradient: autograd through the student's step."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import mien_train.semi.step
from mien_train.models.student import Student
from mien_train.recipe import ModelRecipe, Recipe
from mien_train.semi.draws import Drawn
from mien_train.semi.feedback import Baseline, fall, feedback_loss
from mien_train.semi.step import Pair

CLASSES, FACES, RATE = 3, 2, 0.02


class Problem:
    """A teacher phi, a student theta, two faces without a label and a labeled batch with all classes alike."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.teacher = nn.Linear(4, CLASSES).double()
        self.student = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, CLASSES)).double()
        self.faces, self.known = torch.randn(FACES, 4).double(), torch.randn(2 * CLASSES, 4).double()
        self.truth = torch.arange(CLASSES).repeat(2)

    def after_step(self, target: Tensor) -> Tensor:
        """CE_labeled(theta') of soft or one-hot ``target`` (FACES, CLASSES), with a graph back to it."""
        weights = dict(self.student.named_parameters())
        loss = F.cross_entropy(functional_call(self.student, weights, (self.faces,)), target)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        moved = {name: w - RATE * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
        return F.cross_entropy(functional_call(self.student, moved, (self.known,)), self.truth)

    def labellings(self) -> list[Tensor]:
        return [torch.tensor(y) for y in itertools.product(range(CLASSES), repeat=FACES)]

    def gradient(self, loss: Tensor) -> Tensor:
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(self.teacher.parameters()))])

    def exact_soft(self) -> Tensor:
        return self.gradient(self.after_step(self.teacher(self.faces).softmax(1)))

    def exact_sampled(self) -> Tensor:
        """Of the expectation over all labels that the teacher may draw."""
        log = self.teacher(self.faces).log_softmax(1)
        parts = [
            log[torch.arange(FACES), y].sum().exp() * self.after_step(F.one_hot(y, CLASSES).double()).detach()
            for y in self.labellings()
        ]
        return self.gradient(torch.stack(parts).sum())

    def ours(self, sign: float = 1.0, detach: bool = False) -> Tensor:
        """The expectation of what the product's functions give for each label that the teacher may draw."""
        total = torch.zeros(sum(p.numel() for p in self.teacher.parameters())).double()
        for y in self.labellings():
            student = copy.deepcopy(self.student)
            weights, kept = list(student.parameters()), torch.ones(FACES, dtype=torch.bool)
            before = [p.detach().clone() for p in weights]
            pseudo = torch.autograd.grad(F.cross_entropy(student(self.faces), y), weights)
            with torch.no_grad():
                for p, g in zip(weights, pseudo, strict=True):
                    p -= RATE * g
            moved = [p.detach() - old for p, old in zip(weights, before, strict=True)]
            labeled = torch.autograd.grad(F.cross_entropy(student(self.known), self.truth), weights)
            guess = self.teacher(self.faces)
            likely = guess.detach().log_softmax(1)[torch.arange(FACES), y].sum().exp()
            h = sign * fall(labeled, pseudo, moved)
            total += likely * self.gradient(feedback_loss(h, guess.detach() if detach else guess, y, kept))
        return FACES * total  # our cross-entropy is a mean over the faces


def agrees(made: Tensor, exact: Tensor) -> bool:
    return bool(F.cosine_similarity(made, exact, dim=0) > 0.99 and 0.9 < made.norm() / exact.norm() < 1.1)


@pytest.mark.parametrize("seed", range(5))
def test_the_update_is_the_exact_meta_gradient_to_first_order(seed: int) -> None:
    problem = Problem(seed)
    made = problem.ours()
    assert agrees(made, problem.exact_soft())
    assert agrees(made, problem.exact_sampled())


def test_a_flipped_sign_is_found_and_a_detached_teacher_refused() -> None:
    problem = Problem(0)
    assert not agrees(problem.ours(sign=-1.0), problem.exact_soft())
    assert F.cosine_similarity(problem.ours(sign=-1.0), problem.exact_sampled(), dim=0) < -0.99
    with pytest.raises(ValueError, match="detached"):
        problem.ours(detach=True)


def test_descending_it_makes_the_student_better() -> None:
    """What all this is for: teachers that go down our direction have students that do better on the labeled batch."""
    problem = Problem(1)
    before = problem.after_step(problem.teacher(problem.faces).softmax(1)).item()
    for _ in range(5):
        made, start = problem.ours(), 0
        for p in problem.teacher.parameters():
            p.data -= 50 * made[start : start + p.numel()].view_as(p)
            start += p.numel()
    assert problem.after_step(problem.teacher(problem.faces).softmax(1)).item() < before


@pytest.fixture
def pair(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A pair as ``fer-train semi`` makes it, but with plain SGD, and no gradient clipped."""
    monkeypatch.setattr(mien_train.semi.step, "CLIP", 1e9)
    torch.manual_seed(3)
    network = Student(ModelRecipe("test_efficientnet", "", dropout=0.0, drop_path=0.0)).train()
    how = replace(recipe, semi=replace(recipe.semi, lead=0, threshold=0.01))
    made = Pair(copy.deepcopy(network), network, replace(how, optim=replace(how.optim, steps=100)), torch.enable_grad)
    for learner in (made.student, made.teacher):
        learner.rate = 1e-4
        learner.optimizer = torch.optim.SGD(learner.trained, 1e-4)
        learner.total, learner.warmup = 10**9, 1e-9
    return made


def drawn(seed: int) -> Drawn:
    crops = np.random.default_rng(seed).integers(0, 256, (3, 8, 32, 32, 3), np.uint8)
    first, weak, strong = torch.from_numpy(crops)
    return Drawn(first, first, torch.eye(8), weak, strong)


def test_h_is_what_the_labeled_loss_fell_by(pair: Pair) -> None:
    batch, falls = drawn(0), []
    real = pair.student.descend

    def watched(loss: Tensor) -> list[Tensor]:
        losses = [F.cross_entropy(pair.student.network(batch.crops).logits, batch.target).item()]
        made = real(loss)
        losses.append(F.cross_entropy(pair.student.network(batch.crops).logits, batch.target).item())
        falls.append(losses[0] - losses[1])
        return made

    pair.student.descend = watched  # type: ignore[method-assign]
    noted = pair(batch, 0)
    assert len(falls) == 2  # the first is the step on pseudo-labels
    assert noted["h"] == pytest.approx(falls[0], rel=0.1)
    assert noted["kept"] == 1.0


def test_the_teacher_is_told_h_times_its_own_pseudo_label_loss(pair: Pair) -> None:
    deaf = copy.deepcopy(pair)
    weights, batch, taken = pair.teacher.trained, drawn(1), []
    network = copy.deepcopy(pair.teacher.network).eval()
    for each in (pair, deaf):
        real = each.teacher.descend
        each.teacher.descend = lambda loss, real=real: taken.append(real(loss)) or taken[-1]  # type: ignore
    deaf.baseline = lambda h: 0.0  # type: ignore[assignment]
    noted = pair(batch, 0)
    deaf(batch, 0)
    logits = network(batch.weak).logits
    own = torch.autograd.grad(
        F.cross_entropy(logits, logits.argmax(1)),
        [p for p in network.parameters() if p.requires_grad],
        allow_unused=True,
    )
    assert abs(noted["h"]) > 1e-6
    for told, untold, gradient, weight in zip(*taken, own, weights, strict=True):
        expected = torch.zeros_like(weight) if gradient is None else noted["h"] * gradient
        torch.testing.assert_close(told - untold, expected, atol=2e-6, rtol=2e-2)


def test_soft_pseudo_labels_are_the_teachers_probabilities(pair: Pair) -> None:
    batch = drawn(2)
    soft = copy.deepcopy(pair)
    soft.semi = replace(soft.semi, soft=True)
    guess = copy.deepcopy(pair.teacher.network).eval()(batch.weak).logits.detach()
    logits = copy.deepcopy(pair.student.network)(batch.strong).logits.detach()
    losses = [each(batch, 0)["pseudo"] for each in (pair, soft)]
    hard = F.cross_entropy(logits, guess.argmax(1)).item()
    assert losses == pytest.approx([hard, F.cross_entropy(logits, guess.softmax(1)).item()], rel=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-4


def test_no_step_no_feedback_and_the_baseline_is_of_those_before() -> None:
    nothing = [torch.zeros(3)]
    assert fall([torch.ones(3)], nothing, nothing) == 0.0
    baseline = Baseline()
    assert baseline(1.0) == 1.0
    assert baseline(1.0) == pytest.approx(0.9)
