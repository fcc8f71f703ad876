"""One class after another: the head grows, the top blocks learn the class together with replayed images of others, and
the memory keeps some of its images."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mien.types import EXPRESSIONS
from mien_train.continual.features import Bank, half, outputs
from mien_train.continual.memory import RANKINGS, Memory
from mien_train.continual.network import Tail
from mien_train.continual.recipe import ContinualRecipe
from mien_train.losses.continual import continual_loss, gamma_at


@dataclass(frozen=True)
class Method:
    """``memory``: name of a ranking, ``everything`` (joint training), or empty. ``teacher``: whether it is
    distilled. ``at_once``: all classes are learned together from the start, which is not continual learning."""

    memory: str
    teacher: bool
    at_once: bool = False


METHODS = {
    "fine-tuning": Method("", False),
    "random": Method("random", False),
    "psmr": Method("psmr", False),
    "random+kd": Method("random", True),
    "herding+kd": Method("herding", True),
    "psmr+kd": Method("psmr", True),
    "joint": Method("everything", False),
    "at once": Method("everything", False, at_once=True),
}


class Learner:
    """A copy of the basic model that learns. ``bank`` holds the faces of all classes; only those of the class that is
    being learned, and those in the memory, are used."""

    def __init__(self, basic: Tail, bank: Bank, recipe: ContinualRecipe, method: Method, seed: int):
        self.tail, self.bank, self.recipe, self.method = copy.deepcopy(basic), bank, recipe, method
        self.rng = np.random.default_rng((recipe.seed, seed))
        self.memory = Memory(recipe.memory)
        self.replayed: dict[int, NDArray[np.int64]] = {}
        self.classes = list(range(len(EXPRESSIONS)))
        """Indices into ``class_names`` of the outputs of the head, in the order in which it grew."""
        self._remember([label for label in self.classes if len(bank.rows(label))])

    def learn(self, name: str, label: int) -> None:
        """Learn the faces with ``label``, the class ``name``."""
        self._grow(name, label)
        self._fit(self.bank.rows(label), 1)
        self._remember([label])

    def learn_together(self, names: list[str], labels: list[int]) -> None:
        """Learn several classes in the time that they would take one after another, every class equally often in a
        batch, as if none had been there before."""
        for name, label in zip(names, labels, strict=True):
            self._grow(name, label)
        self._remember(labels)
        self._fit(np.zeros(0, np.int64), len(labels))

    def _grow(self, name: str, label: int) -> None:
        self.tail.grow(name)
        self.classes.append(label)

    def _fit(self, fresh: NDArray[np.int64], tasks: int) -> None:
        """The time of so many ``tasks``, with the rows ``fresh`` of a new class (perhaps none) and the memory."""
        settings = self.recipe.learn
        groups = [
            {"params": list(self.tail.blocks.parameters()), "lr": settings.rate},
            {"params": list(self.tail.head.parameters()), "lr": settings.rate * settings.head},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        total = settings.epochs * settings.steps * tasks
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.5 * (1 + math.cos(math.pi * n / total)))
        place = torch.full((max(self.classes) + 1,), -1)
        place[self.classes] = torch.arange(len(self.classes))
        labels = torch.from_numpy(self.bank.label)
        for step in range(total):
            rows = torch.from_numpy(self._draw(fresh))
            views = torch.from_numpy(self.rng.integers(len(self.bank.features), size=len(rows)))
            features = self.bank.features[views, rows].contiguous(memory_format=torch.channels_last)
            gamma = gamma_at(step // settings.steps, settings.gamma, settings.decay) if self.method.teacher else 0.0
            with half(settings.precision):
                logits, _ = self.tail(features if settings.precision == "bf16" else features.float())
            taught = self.bank.taught[views, rows]
            loss = continual_loss(
                logits.float(), place[labels[rows]], taught, gamma=gamma, temperature=settings.temperature
            )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()

    def predict(self, bank: Bank, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The class of some faces of ``bank``, among all classes so far: indices into ``class_names``, (n,); and their
        logits, without ``caution``, (n, classes so far) in the order of ``self.classes``."""
        logits = outputs(self.tail, bank, rows, self.recipe.learn.precision)[0].numpy()
        caution = np.where(np.array(self.classes) < len(EXPRESSIONS), 0, self.recipe.learn.caution)
        return np.array(self.classes)[(logits - caution).argmax(1)], logits

    def _draw(self, fresh: NDArray[np.int64]) -> NDArray[np.int64]:
        """A batch: a share from the new class, the rest from the memory, each of its classes equally often."""
        settings = self.recipe.learn
        share = (settings.share if self.replayed else 1.0) if len(fresh) else 0.0
        new = round(share * settings.batch)
        old = list(self.replayed.values())
        chosen = self.rng.integers(len(old), size=settings.batch - new) if old else np.zeros(0, int)
        replayed = [old[k][self.rng.integers(len(old[k]))] for k in chosen]
        drawn = fresh[self.rng.integers(max(len(fresh), 1), size=new)]
        return np.concatenate([drawn, np.array(replayed, np.int64)])

    def _remember(self, labels: list[int]) -> None:
        if not self.method.memory:
            return
        if self.method.memory == "everything":
            self.replayed |= {label: self.bank.rows(label) for label in labels}
            return
        ranked = {}
        for label in labels:
            rows = self.bank.rows(label)
            logits, embedding = outputs(self.tail, self.bank, rows, self.recipe.learn.precision)
            probability = logits.softmax(1)[:, self.classes.index(label)]
            order = RANKINGS[self.method.memory](probability.numpy(), embedding.numpy(), self.rng)
            ranked[label] = rows[order]
        self.memory.keep(ranked)
        self.replayed = self.memory.kept

    @property
    def remembered(self) -> int:
        """Number of images that are kept of earlier classes."""
        return sum(len(rows) for rows in self.replayed.values())
