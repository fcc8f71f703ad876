"""``fer-train semi``: the loop of teacher and student."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from timm.utils.model_ema import ModelEmaV3
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from mien.errors import InputError, TrainingStopped
from mien_train.evaluation.predict import predict
from mien_train.loop.precision import warn_of_emulation
from mien_train.models.checkpoints import load_checkpoint, recipe_of
from mien_train.models.start import start_student
from mien_train.recipe import Recipe
from mien_train.semi.draws import Drawn, draws, teacher_crop
from mien_train.semi.pools import Pools
from mien_train.semi.quality import judge, pseudo_quality
from mien_train.semi.shares import give_back, labeled_shares, seen_shares
from mien_train.semi.step import Pair
from mien_train.supervised.trainer import History

SAVE_EVERY_S = 180.0
CHECKS = 5
"""How often in a run its pseudo-labels are judged."""
JUDGED = 600
JUDGED_AT_LAST = 3000


def train_semi(
    recipe: Recipe,
    pools: Pools,
    out: Path,
    *,
    resume: bool = False,
    threads: int | None = None,
    stop_below: float = 0.0,
) -> Path:
    """Writes ``out/last.pt`` every few minutes, and at the end ``out/student.pt``: the student's EMA weights, told the
    classes' shares among labeled faces (shares.py), with ``quality``, what its pseudo-labels were worth.

    Warns where less than 60 % of the pseudo-labels are right. Raises TrainingStopped below ``stop_below``, and
    InputError for recipes that it cannot run.
    """
    check_recipe(recipe)
    if threads:
        torch.set_num_threads(threads)
    accelerator = Accelerator(mixed_precision=recipe.optim.precision)
    warn_of_emulation(recipe.optim.precision, accelerator.device.type)
    if accelerator.num_processes > 1:
        raise InputError("fer-train semi runs in one process; start it without accelerate launch or torchrun")
    set_seed(recipe.seed)
    last = out / "last.pt"
    if last.exists() and not resume:
        raise InputError(f"{last} exists: add --resume to go on with that run, or choose another --out")
    out.mkdir(parents=True, exist_ok=True)

    student, origin = start_student(recipe, pools.labeled)
    origin += _said(recipe, pools)
    # A larger teacher starts from the same weights, at its own size.
    spec = teacher_crop(recipe)
    teacher = copy.deepcopy(student)
    if recipe.semi.pseudo and spec != recipe.crop:
        teacher, _ = start_student(replace(recipe, crop=spec), pools.labeled)
    for network in (teacher, student):
        network.to(accelerator.device).to(memory_format=torch.channels_last).train()
    pair = Pair(teacher, student, recipe, accelerator.autocast)
    ema = ModelEmaV3(student, decay=recipe.optim.ema, use_warmup=True)
    total, step, history = pair.lead + recipe.optim.steps, 0, History()
    quality: dict[str, Any] | None = None
    if resume and last.exists():
        state = load_checkpoint(last)
        if recipe_of(state) != recipe or "pair" not in state or state["origin"] != origin:
            raise InputError(f"{last} was made by another recipe or data; use those, or start in another --out")
        pair.student.load(state["pair"]["student"])
        pair.teacher.load(state["pair"]["teacher"])
        pair.thresholds.confidence = state["pair"]["confidence"]
        pair.baseline.mean = state["pair"]["baseline"]
        ema.module.load_state_dict(state["ema"])
        step, history, quality = state["step"], History(state["history"]), state["quality"]

    writer = SummaryWriter(str(out))

    def save(path: Path, **more: Any) -> None:
        state = {"recipe": recipe.to_dict(), "ema": ema.module.state_dict(), "step": step, "origin": origin}
        torch.save({**state, "history": history.rows, "quality": quality, **more}, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)

    def save_all() -> None:
        about = {"confidence": pair.thresholds.confidence, "baseline": pair.baseline.mean}
        save(last, pair={"student": pair.student.state(), "teacher": pair.teacher.state(), **about})

    saved, every = time.monotonic(), max(1, recipe.optim.steps // CHECKS)
    bar = tqdm(total=total, initial=step, unit="step", mininterval=5.0)
    for drawn in draws(pools, recipe, step, total):
        # Dropout draws from the step's own seed, so that a resumed run is the same run.
        torch.manual_seed(hash((recipe.seed, step)))
        noted = pair(Drawn(*(part.to(accelerator.device) for part in drawn)), step)
        step += 1
        bar.update()
        if step > pair.lead:
            ema.update(student, step=step - pair.lead - 1)
        if step % 20 == 0:
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
                save_all()
                raise
            if warning:
                bar.write(f"step {step}: {warning}")
        if time.monotonic() - saved > SAVE_EVERY_S:
            save_all()
            saved = time.monotonic()
    bar.close()
    save_all()
    if quality:
        natural = labeled_shares(pools.labeled)
        give_back(ema.module, natural, seen_shares(natural, quality, uniform=recipe.semi.uniform))
    for item in pools.validation:
        score = predict(ema.module, item, recipe.crop, limit=1500).accuracy()
        history.note(writer, step, **{f"validation/{item.faces.name}": score})
        print(f"step {step}: {item.faces.name} accuracy {score:.4f}")
    save(out / "student.pt")
    writer.close()
    return out / "student.pt"


def check_recipe(recipe: Recipe) -> None:
    """Raises InputError for what would only show later."""
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
        raise InputError(f"semi.labels is the share of labels that are told: above 0 and at most 1, not {share:g}")
    if not 0 < recipe.semi.threshold <= 1:
        raise InputError(f"semi.threshold is a probability: above 0 and at most 1, not {recipe.semi.threshold:g}")
    if recipe.semi.teacher_size and recipe.semi.teacher_size < 16:
        raise InputError(f"semi.teacher_size is a side in px: 16 or more, or 0, not {recipe.semi.teacher_size}")


def _said(recipe: Recipe, pools: Pools) -> str:
    """For the card."""
    count = sum(len(item.faces) for item in pools.labeled)
    text = f" Trained by fer-train semi with the labels of {count} images"
    if not recipe.semi.pseudo:
        return text + "."
    names = ", ".join(dict.fromkeys(item.faces.name for item in pools.unlabeled))
    without = sum(len(item.faces) for item in pools.unlabeled)
    return f"{text}, and pseudo-labels of {without} faces of {names}."
