"""The training loop: one recipe in, one run folder out. It runs under ``accelerate`` and resumes where it stopped."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from numpy.typing import NDArray
from timm.utils.model_ema import ModelEmaV3
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from mien.errors import InputError
from mien_train.data.batches import SeededDraws, TrainingFaces
from mien_train.data.sets import load_sets
from mien_train.evaluation.predict import predict
from mien_train.loop.precision import warn_of_emulation
from mien_train.loop.schedule import one_thread, parameter_groups, rate_factor
from mien_train.models.checkpoints import load_checkpoint, recipe_of
from mien_train.models.start import start_student
from mien_train.recipe import Recipe
from mien_train.supervised.objective import Objective
from mien_train.supervised.opinions import with_opinions
from mien_train.teachers import load_teacher
from mien_train.teachers.base import Teacher
from mien_train.teachers.cache import read_cache

SAVE_EVERY_S = 180.0


def train(recipe: Recipe, root: Path | None, out: Path, *, resume: bool = False, threads: int | None = None) -> Path:
    """Train a student. Writes ``out/last.pt`` every few minutes and ``out/student.pt`` (EMA weights) at the end."""
    if threads:
        torch.set_num_threads(threads)
    # The recipe's batch is that of all processes together, so the same recipe means the same run on any machine.
    shared = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(mixed_precision=recipe.optim.precision, dataloader_config=shared)
    if accelerator.is_main_process:
        warn_of_emulation(recipe.optim.precision, accelerator.device.type)
    set_seed(recipe.seed)
    last = out / "last.pt"
    if last.exists() and not resume:
        raise InputError(f"{last} exists: add --resume to go on with that run, or choose another --out")
    out.mkdir(parents=True, exist_ok=True)

    training, validation = load_sets(recipe, root)
    if not any(len(item.faces) for item in training):
        raise InputError("no training image is left: the sets are empty, or repeat their test images (near_duplicates)")
    optim, how = recipe.optim, recipe.distill
    teacher = load_teacher(how.teacher) if how.teacher else None
    taught = [read_cache(teacher, item.faces, Path(how.cache)) for item in training] if teacher and how.cache else None
    student, origin = start_student(recipe, training)
    with accelerator.main_process_first():
        training = with_opinions(student, training, recipe, out / "opinions.npz")
    shares = list(recipe.data.shares.values())
    data = TrainingFaces(training, recipe.crop, recipe.augment, optim.smoothing, taught, shares, how.doubt)
    total = optim.steps or math.ceil(optim.epochs * len(data) / optim.batch)

    if teacher:
        origin += f" Distilled from {teacher.name} ({teacher.identity})."
    student.to(memory_format=torch.channels_last)
    online = teacher if taught is None else None
    features = _embedding_width(online, recipe) if online else taught[0].embedding.shape[1] if taught else 0
    objective = Objective(recipe, student.expression.in_features, online, features)
    optimizer = torch.optim.AdamW(parameter_groups([student, objective], optim.weight_decay), lr=optim.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, total, optim.warmup))
    ema = ModelEmaV3(student, decay=optim.ema, use_warmup=True)
    step, history = 0, History()
    if resume and last.exists():
        state = load_checkpoint(last)
        if recipe_of(state) != recipe:
            raise InputError(f"{last} was made by another recipe; use that one, or start in another --out")
        if state.get("origin", origin) != origin:
            raise InputError(f"{last} began otherwise than this run would ({state['origin']}); start in another --out")
        student.load_state_dict(state["student"])
        objective.load_state_dict(state["objective"])
        ema.module.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        step, history = state["step"], History(state["history"])

    weights = data.draw_weights(optim.balance, unlabeled=teacher is not None)
    if not weights.any():
        raise InputError("no training image has an expression label: add a labeled set, or a teacher (distill.teacher)")
    loader = training_loader(data, weights, recipe, total, step)
    student, optimizer, loader = accelerator.prepare(student, optimizer, loader)
    if objective.hint is not None:
        objective.hint = accelerator.prepare(objective.hint)
    ema.module.to(accelerator.device)
    writer = SummaryWriter(str(out)) if accelerator.is_main_process else None

    def save(path: Path, **more: Any) -> None:
        if not accelerator.is_main_process:
            return
        state = {"recipe": recipe.to_dict(), "ema": ema.module.state_dict(), "step": step, "origin": origin}
        torch.save({**state, "history": history.rows, **more}, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)

    def save_all() -> None:
        save(
            last,
            student=accelerator.unwrap_model(student).state_dict(),
            # As one process names it: a wrapped hint has "module." before its own names.
            objective={name.replace("hint.module.", "hint."): v for name, v in objective.state_dict().items()},
            optimizer=optimizer.state_dict(),
            schedule=schedule.state_dict(),
        )

    saved = time.monotonic()
    per_epoch = math.ceil(len(data) / optim.batch)
    bar = tqdm(total=total, initial=step, unit="step", disable=not accelerator.is_main_process, mininterval=5.0)
    student.train()
    for batch in loader:
        # Dropout draws from the step's own seed, so that a resumed run is the same run.
        torch.manual_seed(hash((recipe.seed, step, accelerator.process_index)))
        with accelerator.autocast():
            losses = objective(student(batch.crop), batch)
        accelerator.backward(losses["loss"])
        accelerator.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ema.update(accelerator.unwrap_model(student), step=step)
        step += 1
        bar.update()
        if writer and step % 20 == 0:
            history.note(writer, step, **{f"train/{name}": value.item() for name, value in losses.items()})
            writer.add_scalar("train/rate", schedule.get_last_lr()[0], step)
            bar.set_postfix(loss=f"{losses['loss'].item():.3f}")
        if writer and (step % per_epoch == 0 or step == total):
            for item in validation:
                score = predict(ema.module, item, recipe.crop, limit=1500).accuracy()
                history.note(writer, step, **{f"validation/{item.faces.name}": score})
                bar.write(f"step {step}: {item.faces.name} accuracy {score:.4f}")
        if time.monotonic() - saved > SAVE_EVERY_S:
            save_all()
            saved = time.monotonic()
    bar.close()
    save_all()
    save(out / "student.pt")
    if writer:
        writer.close()
    accelerator.wait_for_everyone()
    return out / "student.pt"


def training_loader(data: TrainingFaces, weights: NDArray[np.float64], recipe: Recipe, total: int, start: int) -> Any:
    """Batches of the steps ``start`` to ``total``."""
    batch = recipe.optim.batch
    return DataLoader(
        data,
        batch,
        sampler=SeededDraws(weights, total * batch, recipe.seed, start=start * batch),
        num_workers=recipe.workers,
        worker_init_fn=one_thread,
        drop_last=True,
        persistent_workers=recipe.workers > 0,
    )


class History:
    """What is written to TensorBoard, kept with the checkpoint too: rows of step and values, for the final picture."""

    def __init__(self, rows: list[dict[str, float]] | None = None):
        self.rows = rows or []

    def note(self, writer: SummaryWriter, step: int, **values: float) -> None:
        self.rows.append({"step": step, **values})
        for name, value in values.items():
            writer.add_scalar(name, value, step)


def _embedding_width(teacher: Teacher, recipe: Recipe) -> int:
    size = recipe.crop.size
    embedding = teacher(torch.zeros((1, size, size, 3), dtype=torch.uint8), recipe.crop).embedding
    return 0 if embedding is None else embedding.shape[1]
