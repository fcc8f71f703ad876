"""``fer-train semi``: the loop of teacher and student."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from mien.errors import InputError
from mien_train.evaluation.predict import predict
from mien_train.loop.precision import warn_of_emulation
from mien_train.loop.run_folder import StudentRun
from mien_train.loop.threads import use_threads
from mien_train.models.start import start_student
from mien_train.recipe import Recipe
from mien_train.semi.draws import Drawn, draws, teacher_crop
from mien_train.semi.pools import Pools
from mien_train.semi.quality import TrainingStopped, judge, pseudo_quality
from mien_train.semi.shares import correct_shares, labeled_shares, seen_shares
from mien_train.semi.step import Pair

NOTE_EVERY = 20
"""Steps."""
CHECKS = 5
"""Times in a run that its pseudo-labels are judged."""
JUDGED = 600
"""Images that pseudo-labels are judged on, before the last time."""
JUDGED_AT_LAST = 3000
VALIDATED = 1500
"""Images of each validation set."""


def train_semi(
    recipe: Recipe,
    pools: Pools,
    out: Path,
    *,
    resume: bool = False,
    threads: int | None = None,
    stop_below: float = 0.0,
) -> Path:
    """Writes ``out/last.pt`` every few minutes, and at the end ``out/student.pt``: the student's EMA weights, corrected
    for the shares of the classes among labeled faces (shares.py), and ``quality``, how good its pseudo-labels were.

    Warns where less than 60 % of the pseudo-labels are right. Raises TrainingStopped below ``stop_below``, and
    InputError for recipes that it cannot run.
    """
    check_recipe(recipe)
    use_threads(threads)
    accelerator = Accelerator(mixed_precision=recipe.optim.precision)
    warn_of_emulation(recipe.optim.precision, accelerator.device.type)
    if accelerator.num_processes > 1:
        raise InputError("fer-train semi runs in one process; start it without accelerate launch or torchrun")
    set_seed(recipe.seed)
    run = StudentRun(out, recipe, resume=resume)

    student, origin = start_student(recipe, pools.labeled)
    origin += _origin(recipe, pools)
    # A larger teacher starts from the same weights, at its own size.
    spec = teacher_crop(recipe)
    teacher = copy.deepcopy(student)
    if recipe.semi.pseudo and spec != recipe.crop:
        teacher, _ = start_student(replace(recipe, crop=spec), pools.labeled)
    for network in (teacher, student):
        network.to(accelerator.device).to(memory_format=torch.channels_last).train()
    pair = Pair(teacher, student, recipe, accelerator.autocast)
    total = pair.lead + recipe.optim.steps
    quality: dict[str, Any] | None = None
    if state := run.begin(student, origin):
        pair.student.load(state["pair"]["student"])
        pair.teacher.load(state["pair"]["teacher"])
        pair.thresholds.confidence = state["pair"]["confidence"]
        pair.baseline.mean = state["pair"]["baseline"]
        quality = state["quality"]

    writer = SummaryWriter(str(out))
    ema, history = run.ema, run.history

    def save() -> None:
        running = {"confidence": pair.thresholds.confidence, "baseline": pair.baseline.mean}
        run.save(quality=quality, pair={"student": pair.student.state(), "teacher": pair.teacher.state(), **running})

    every = max(1, recipe.optim.steps // CHECKS)
    bar = tqdm(total=total, initial=run.step, unit="step", mininterval=5.0)
    for drawn in draws(pools, recipe, run.step, total):
        # Dropout draws from the step's own seed, so that a resumed run is the same run.
        torch.manual_seed(hash((recipe.seed, run.step)))
        noted = pair(Drawn(*(part.to(accelerator.device) for part in drawn)), run.step)
        run.step = step = run.step + 1
        bar.update()
        if step > pair.lead:
            ema.update(student, step=step - pair.lead - 1)
        if step % NOTE_EVERY == 0:
            history.note(writer, step, **{f"train/{name}": value for name, value in noted.items()})
            bar.set_postfix({name: f"{value:.3f}" for name, value in noted.items()})
        if recipe.semi.pseudo and step >= pair.lead and ((step - pair.lead) % every == 0 or step == total):
            limit = JUDGED_AT_LAST if step == total else JUDGED
            quality = pseudo_quality(pair.teacher.network, pools.judged, spec, pair.thresholds.levels(), limit)
            quality["step"] = step
            history.note(writer, step, pseudo_accuracy=quality["accuracy"] or 0.0, pseudo_kept=quality["kept"])
            try:
                warning = judge(quality, stop_below)
            except TrainingStopped:
                bar.close()
                save()
                raise
            if warning:
                bar.write(f"step {step}: {warning}")
        if run.is_due:
            save()
    bar.close()
    save()
    if quality:
        natural = labeled_shares(pools.labeled)
        correct_shares(ema.module, natural, seen_shares(natural, quality, uniform=recipe.semi.uniform))
    for item in pools.validation:
        score = predict(ema.module, item, recipe.crop, limit=VALIDATED).accuracy()
        history.note(writer, run.step, **{f"validation/{item.faces.name}": score})
        print(f"step {run.step}: {item.faces.name} accuracy {score:.4f}")
    writer.close()
    return run.finish(quality=quality)


def check_recipe(recipe: Recipe) -> None:
    """Raises InputError for settings that would fail only later."""
    if recipe.optim.steps < 1:
        raise InputError("fer-train semi counts in steps: set optim.steps to 1 or more")
    if recipe.optim.precision == "fp16":
        raise InputError("fer-train semi needs gradients at their own scale; use --precision bf16 or no")
    if recipe.distill.teacher:
        raise InputError(
            "fer-train semi makes its own teacher; remove distill.teacher. To distil afterwards: "
            "fer-train distill --set model.weights=RUN/student.pt"
        )
    share = recipe.semi.labels
    if not 0 < share <= 1:
        raise InputError(f"semi.labels is the share of labels that are used: above 0 and at most 1, not {share:g}")
    if not 0 < recipe.semi.threshold <= 1:
        raise InputError(f"semi.threshold is a probability: above 0 and at most 1, not {recipe.semi.threshold:g}")
    if recipe.semi.teacher_size and recipe.semi.teacher_size < 16:
        raise InputError(f"semi.teacher_size is a side in px: 16 or more, or 0, not {recipe.semi.teacher_size}")


def _origin(recipe: Recipe, pools: Pools) -> str:
    """What the student learned from, a sentence for the card."""
    count = sum(len(item.faces) for item in pools.labeled)
    text = f" Trained by fer-train semi with the labels of {count} images"
    if not recipe.semi.pseudo:
        return text + "."
    names = ", ".join(dict.fromkeys(item.faces.name for item in pools.unlabeled))
    without = sum(len(item.faces) for item in pools.unlabeled)
    return f"{text}, and pseudo-labels of {without} faces of {names}."
