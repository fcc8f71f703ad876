"""The training loop: one recipe in, one run folder out. It runs under ``accelerate`` and resumes where it stopped."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces, TrainingFaces
from mien_train.data.mixing import mixed
from mien_train.data.sets import check_anchors, learned_labels, load_sets
from mien_train.evaluation.predict import predict
from mien_train.loop.loader import seeded_loader
from mien_train.loop.precision import warn_of_emulation
from mien_train.loop.run_folder import TAUGHT, StudentRun
from mien_train.loop.schedule import parameter_groups, rate_factor
from mien_train.loop.threads import use_threads
from mien_train.models.start import start_student
from mien_train.recipe import Recipe
from mien_train.supervised.objective import Objective
from mien_train.supervised.opinions import with_opinions
from mien_train.teachers import load_teacher
from mien_train.teachers.base import Teacher, TeacherOutput
from mien_train.teachers.cache import read_cache

NOTE_EVERY = 20
"""Steps."""
JUDGED = 1500
"""Images of each validation set that are looked at during training."""
CLIP = 5.0
"""Largest norm of the gradient."""


def train(recipe: Recipe, root: Path | None, out: Path, *, resume: bool = False, threads: int | None = None) -> Path:
    """Train a student. Writes ``out/last.pt`` every few minutes and ``out/student.pt`` (EMA weights) at the end."""
    use_threads(threads)
    # The recipe's batch is that of all processes together, so the same recipe means the same run on any machine.
    shared = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(mixed_precision=recipe.optim.precision, dataloader_config=shared)
    main = accelerator.is_main_process
    if main:
        warn_of_emulation(recipe.optim.precision, accelerator.device.type)
    set_seed(recipe.seed)
    check_anchors(recipe.data)
    run = StudentRun(out, recipe, resume=resume)

    training, validation = load_sets(recipe, root)
    if not any(len(item.faces) for item in training):
        raise InputError("no training image is left: the sets are empty, or repeat their test images (near_duplicates)")
    optim, distill = recipe.optim, recipe.distill
    teacher = load_teacher(distill.teacher) if distill.teacher else None
    known = _classes(teacher, recipe) if teacher else []
    learned_labels(training, known)  # raises before the first step rather than after the last
    cached = bool(teacher and distill.cache)
    taught = [read_cache(teacher, item.faces, Path(distill.cache)) for item in training] if teacher and cached else None
    student, origin = start_student(recipe, training)
    with accelerator.main_process_first():
        training = with_opinions(student, training, recipe, out / "opinions.npz")
    shares = list(recipe.data.shares.values())
    data = TrainingFaces(training, recipe.crop, recipe.augment, optim.smoothing, taught, shares, distill.doubt)
    total = optim.steps or math.ceil(optim.epochs * len(data) / optim.batch)

    if teacher:
        origin += f" Distilled from {teacher.name} ({teacher.identity})."
    student.to(memory_format=torch.channels_last)
    online = teacher if taught is None else None
    features = _embedding_width(online, recipe) if online else taught[0].embedding.shape[1] if taught else 0
    objective = Objective(recipe, student.expression.in_features, online, features)
    optimizer = torch.optim.AdamW(parameter_groups([student, objective], optim.weight_decay), lr=optim.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, total, optim.warmup))
    if state := run.begin(student, origin):
        student.load_state_dict(state["student"])
        objective.load_state_dict(state["objective"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])

    weights = data.draw_weights(optim.balance, unlabeled=teacher is not None)
    if not weights.any():
        raise InputError("no training image has an expression label: add a labeled set, or a teacher (distill.teacher)")
    loader = seeded_loader(data, weights, optim.batch, recipe.seed, run.step, total, recipe.workers)
    student, optimizer, loader = accelerator.prepare(student, optimizer, loader)
    if objective.hint is not None:
        objective.hint = accelerator.prepare(objective.hint)
    ema = run.ema
    ema.module.to(accelerator.device)
    writer = SummaryWriter(str(out)) if main else None

    def save() -> None:
        if not main:
            return
        run.save(
            student=accelerator.unwrap_model(student).state_dict(),
            # As one process names it: a wrapped hint has "module." before its own names.
            objective={name.replace("hint.module.", "hint."): v for name, v in objective.state_dict().items()},
            optimizer=optimizer.state_dict(),
            schedule=schedule.state_dict(),
        )

    per_epoch = math.ceil(len(data) / optim.batch)
    bar = tqdm(total=total, initial=run.step, unit="step", disable=not main, mininterval=5.0)
    student.train()
    for batch in loader:
        # Dropout and mixing draw from the step's own seed, so that a resumed run is the same run.
        torch.manual_seed(hash((recipe.seed, run.step, accelerator.process_index)))
        batch = mixed(batch, optim.mix, distill.temperature)
        with accelerator.autocast():
            losses = objective(student(batch.crop), batch)
        accelerator.backward(losses["loss"])
        accelerator.clip_grad_norm_(student.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ema.update(accelerator.unwrap_model(student), step=run.step)
        run.step += 1
        bar.update()
        if writer and run.step % NOTE_EVERY == 0:
            run.history.note(writer, run.step, **{f"train/{name}": value.item() for name, value in losses.items()})
            writer.add_scalar("train/rate", schedule.get_last_lr()[0], run.step)
            bar.set_postfix(loss=f"{losses['loss'].item():.3f}")
        if writer and (run.step % per_epoch == 0 or run.step == total):
            _validate(run, validation, writer, bar)
        if run.is_due:
            save()
    bar.close()
    save()
    if writer:
        run.finish(**({TAUGHT: known} if teacher else {}))
        writer.close()
    accelerator.wait_for_everyone()
    return run.final


def _validate(run: StudentRun, validation: list[Faces], writer: SummaryWriter, bar: tqdm) -> None:
    """Note and print the accuracy of the averaged weights on every validation set."""
    for item in validation:
        score = predict(run.ema.module, item, run.recipe.crop, limit=JUDGED).accuracy()
        run.history.note(writer, run.step, **{f"validation/{item.faces.name}": score})
        bar.write(f"step {run.step}: {item.faces.name} accuracy {score:.4f}")


def _classes(teacher: Teacher, recipe: Recipe) -> list[str]:
    """Those that the teacher knows."""
    known = ~_blank_output(teacher, recipe).logits.isnan().all(0)
    return [name for name, knows in zip(EXPRESSIONS, known.tolist(), strict=True) if knows]


def _embedding_width(teacher: Teacher, recipe: Recipe) -> int:
    embedding = _blank_output(teacher, recipe).embedding
    return 0 if embedding is None else embedding.shape[1]


def _blank_output(teacher: Teacher, recipe: Recipe) -> TeacherOutput:
    """What it says of one black crop, for its form."""
    size = recipe.crop.size
    return teacher(torch.zeros((1, size, size, 3), dtype=torch.uint8), recipe.crop)
