"""The folder of a training run: ``last.pt``, from which a stopped run resumes, and ``student.pt`` at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from timm.utils.model_ema import ModelEmaV3

from mien.errors import InputError
from mien_train.loop.history import History
from mien_train.models.checkpoints import load_checkpoint, recipe_of, save_checkpoint
from mien_train.models.student import Student
from mien_train.recipe import Recipe

SAVE_EVERY_S = 180.0
TAUGHT = "taught"
"""Key in a checkpoint's state: the classes that the teacher knew, so that finishing needs no teacher."""


def open_folder(out: Path, *, resume: bool) -> Path:
    """Make the folder of a run. -> its ``last.pt``, which exists where a run is to be resumed.

    Raises InputError where there is a run that nobody asked to resume.
    """
    last = out / "last.pt"
    if last.exists() and not resume:
        raise InputError(f"{last} exists: add --resume to go on with that run, or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    return last


class StudentRun:
    """How far the training of a student has come: ``step``, ``history`` and ``ema``, the moving average of its weights.

    A checkpoint holds these and the recipe, and ``origin``, what the student began from, in words; whatever else a loop
    needs to resume goes into ``last.pt`` beside them.
    """

    def __init__(self, out: Path, recipe: Recipe, *, resume: bool):
        """Raises InputError where ``out`` holds a run and ``resume`` is false."""
        self.last, self.final = open_folder(out, resume=resume), out / "student.pt"
        if self.final.exists() and not resume:
            raise InputError(f"{self.final} exists, and this run would replace it: choose another --out")
        self.recipe = recipe
        self.step, self.history = 0, History()

    def begin(self, student: Student, origin: str) -> dict[str, Any] | None:
        """Start at step 0, or where the run stopped: then its state is returned, for the loop to read its own part.

        Raises InputError where the stopped run is one of another recipe or origin.
        """
        self.ema, self.origin = ModelEmaV3(student, decay=self.recipe.optim.ema, use_warmup=True), origin
        self.saved_at = time.monotonic()
        if not self.last.exists():
            return None
        state = load_checkpoint(self.last)
        if recipe_of(state) != self.recipe:
            raise InputError(f"{self.last} was made by another recipe; use that one, or start in another --out")
        if state.get("origin", origin) != origin:
            raise InputError(
                f"{self.last} began otherwise than this run would ({state['origin']}); start in another --out"
            )
        self.ema.module.load_state_dict(state["ema"])
        self.step, self.history = state["step"], History(state["history"])
        return state

    @property
    def is_due(self) -> bool:
        """Whether the last save was long enough ago for the next."""
        return time.monotonic() - self.saved_at > SAVE_EVERY_S

    def save(self, **rest: Any) -> None:
        """Write ``last.pt``, with the ``rest`` that the loop needs to resume."""
        self._write(self.last, rest)
        self.saved_at = time.monotonic()

    def finish(self, **rest: Any) -> Path:
        """Write ``student.pt`` and return its path."""
        self._write(self.final, rest)
        return self.final

    def _write(self, path: Path, rest: dict[str, Any]) -> None:
        state = {"recipe": self.recipe.to_dict(), "ema": self.ema.module.state_dict(), "step": self.step}
        save_checkpoint(path, {**state, "origin": self.origin, "history": self.history.rows, **rest})
