"""One step of teacher and student."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mien_train.loop.schedule import parameter_groups, rate_factor
from mien_train.losses.labels import soft_cross_entropy
from mien_train.models.student import Student
from mien_train.recipe import Recipe
from mien_train.semi.draws import Drawn
from mien_train.semi.feedback import Baseline, fall, feedback_loss
from mien_train.semi.pseudo import Thresholds, pseudo_labels, pseudo_loss

CLIP = 5.0
RESTING_RATE = 0.1
"""Learning rate of a teacher after its lead, as a share of its peak rate."""


class Learner:
    """A network with its optimizer."""

    def __init__(self, network: Student, recipe: Recipe, total: int, rest: float = 0.0):
        """The learning rate rises and falls over ``total`` steps, and then stays at ``rest`` of its peak."""
        self.network, self.total, self.warmup, self.rest = network, total, recipe.optim.warmup, rest
        self.optimizer = torch.optim.AdamW(parameter_groups([network], recipe.optim.weight_decay), lr=recipe.optim.rate)
        self.rate = recipe.optim.rate
        self.trained = [p for p in network.parameters() if p.requires_grad]

    def set_rate(self, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * max(self.rest, rate_factor(step, self.total, self.warmup))

    def descend(self, loss: Tensor) -> list[Tensor]:
        """Take one step, and return the gradient."""
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimizer.step()
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in self.trained]

    def state(self) -> dict[str, Any]:
        return {"weights": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])


class Pair:
    """Teacher and student. A step of the student is two updates: first on unlabeled faces, then on labeled ones.

    Without a teacher both are on labeled faces, so every student sees as many images in as many updates. In its lead,
    the teacher trains like a student without a teacher; without feedback it does not train any more afterward.
    """

    def __init__(self, teacher: Student, student: Student, recipe: Recipe, autocast: Callable[[], Any]):
        self.semi, self.autocast = recipe.semi, autocast
        self.lead = recipe.semi.lead if recipe.semi.pseudo else 0
        self.extra = recipe.semi.batch
        self.teacher = Learner(teacher, recipe, self.lead, RESTING_RATE)
        self.student = Learner(student, recipe, recipe.optim.steps)
        self.thresholds, self.baseline = Thresholds(recipe.semi.threshold), Baseline()

    def __call__(self, drawn: Drawn, step: int) -> dict[str, float]:
        """Train on a batch. -> losses and other numbers by name, for the log."""
        self.teacher.set_rate(step)
        self.student.set_rate(step - self.lead)
        if step < self.lead:
            return self._on_labels(self.teacher, drawn.large, drawn.target)
        if not self.semi.pseudo:
            return self._on_labels(self.student, drawn.crops, drawn.target)
        return self._both(drawn)

    def _on_labels(self, learner: Learner, crops: Tensor, target: Tensor) -> dict[str, float]:
        self._labeled(learner, crops[: self.extra], target[: self.extra])
        return {"labelled": self._labeled(learner, crops[self.extra :], target[self.extra :])[0]}

    def _both(self, drawn: Drawn) -> dict[str, float]:
        guess = self._guess(drawn.weak)
        self.thresholds.update(guess.softmax(1))
        label, kept = pseudo_labels(guess, self.thresholds.levels())
        noted = {"kept": float(kept.float().mean())}
        pupil, gradient, moved = self.student, [], []
        if kept.any():
            before = [p.detach().clone() for p in pupil.trained]
            with self.autocast():
                logits = pupil.network(drawn.strong).logits
            pseudo = pseudo_loss(logits.float(), guess.detach().softmax(1) if self.semi.soft else label, kept)
            gradient = [g.clone() for g in pupil.descend(pseudo)]
            moved = [p.detach() - old for p, old in zip(pupil.trained, before, strict=True)]
            noted["pseudo"] = pseudo.item()
        noted["labelled"], after = self._labeled(pupil, drawn.crops, drawn.target)
        if not self.semi.feedback:
            return noted
        feedback = None
        if kept.any():
            h = fall(after, gradient, moved)
            noted["h"] = h
            feedback = feedback_loss(self.semi.feedback * self.baseline(h), guess, label, kept)
        noted["teacher"], _ = self._labeled(self.teacher, drawn.large, drawn.target, feedback)
        return noted

    def _guess(self, weak: Tensor) -> Tensor:
        """The teacher's logits (U, 8) in evaluation mode (no dropout, running statistics), with their graph where
        feedback needs it."""
        teacher = self.teacher.network.eval()
        with self.autocast(), torch.set_grad_enabled(self.semi.feedback != 0):
            logits: Tensor = teacher(weak).logits.float()
        teacher.train()
        return logits

    def _labeled(
        self, learner: Learner, crops: Tensor, target: Tensor, more: Tensor | None = None
    ) -> tuple[float, list[Tensor]]:
        with self.autocast():
            logits = learner.network(crops).logits
        loss = soft_cross_entropy(logits.float(), target)
        return loss.item(), learner.descend(loss if more is None else loss + more)
