"""The training loop: one recipe in, one run folder out. It runs under ``accelerate`` and resumes where it stopped."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from timm.utils.model_ema import ModelEmaV3
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from mien.errors import InputError, ModelInvalid
from mien_train.batches import Faces, SeededDraws, TrainingFaces
from mien_train.datasets import holdout, load_faces
from mien_train.duplicates import difference_hashes, repeats
from mien_train.landmarks import find_landmarks
from mien_train.losses import student_loss
from mien_train.models.student import Student, load_imagenet
from mien_train.predict import predict
from mien_train.recipe import Recipe, build

SAVE_EVERY_S = 180.0


def load_sets(recipe: Recipe, root: Path | None) -> tuple[list[Faces], list[Faces]]:
    """Training and validation sets with their landmarks. A training set that is named twice is drawn twice as often.

    Sets without a validation split give up a share of images. Training images that also stand in a validation or test
    set are left out, mirrored ones aside.
    """
    validation = [load_with_landmarks(name, root) for name in recipe.data.validation]
    separate = {str(Path(name).parent) for name in recipe.data.validation}
    training = {name: load_with_landmarks(name, root) for name in recipe.data.train}
    for name, item in training.items():
        if str(Path(name).parent) not in separate and recipe.data.holdout > 0:
            held = holdout(item.faces, recipe.data.holdout)
            if held.any():
                validation.append(item.subset(held))
            training[name] = item.subset(~held)
        if recipe.data.limit:
            training[name] = training[name].sample(recipe.data.limit, recipe.seed)
    near = recipe.data.near_duplicates
    if near >= 0:
        kept_out = [item.faces for item in validation] + [load_faces(name, root) for name in recipe.data.test]
        seen = np.concatenate([difference_hashes(faces) for faces in kept_out])
        for name, item in training.items():
            training[name] = item.subset(~repeats(difference_hashes(item.faces), seen, near))
    return [training[name] for name in recipe.data.train], validation


def load_with_landmarks(name: str, root: Path | None) -> Faces:
    faces = load_faces(name, root)
    return Faces(faces, find_landmarks(faces))


def train(recipe: Recipe, root: Path | None, out: Path, *, resume: bool = False, threads: int | None = None) -> Path:
    """Train a student. Writes ``out/last.pt`` every few minutes and ``out/student.pt`` (EMA weights) at the end."""
    if threads:
        torch.set_num_threads(threads)
    accelerator = Accelerator(mixed_precision=recipe.optim.precision)
    set_seed(recipe.seed)
    last = out / "last.pt"
    if last.exists() and not resume:
        raise InputError(f"{last} exists: add --resume to go on with that run, or choose another --out")
    out.mkdir(parents=True, exist_ok=True)

    training, validation = load_sets(recipe, root)
    data = TrainingFaces(training, recipe.crop, recipe.augment, recipe.optim.smoothing)
    optim = recipe.optim
    if not len(data):
        raise InputError("no training image is left: the sets are empty, or repeat their test images (near_duplicates)")
    total = math.ceil(optim.epochs * len(data) / optim.batch)

    student = Student(recipe.model)
    if recipe.model.weights.endswith(".pt"):
        student.load_state_dict(load_checkpoint(Path(recipe.model.weights))["ema"])
    elif recipe.model.weights:
        load_imagenet(student, recipe.model.weights)
    student.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_groups(student, optim.weight_decay), lr=optim.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total, optim.warmup))
    ema = ModelEmaV3(student, decay=optim.ema, use_warmup=True)
    step = 0
    if resume and last.exists():
        state = load_checkpoint(last)
        if recipe_of(state) != recipe:
            raise InputError(f"{last} was made by another recipe; use that one, or start in another --out")
        student.load_state_dict(state["student"])
        ema.module.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        step = state["step"]

    draws = SeededDraws(data.draw_weights(optim.balance), total * optim.batch, recipe.seed, start=step * optim.batch)
    loader: Any = DataLoader(
        data,
        optim.batch,
        sampler=draws,
        num_workers=recipe.workers,
        worker_init_fn=_one_thread,
        drop_last=True,
        persistent_workers=recipe.workers > 0,
    )
    student, optimizer, loader = accelerator.prepare(student, optimizer, loader)
    ema.module.to(accelerator.device)
    writer = SummaryWriter(str(out)) if accelerator.is_main_process else None

    def save(path: Path, **more: Any) -> None:
        if not accelerator.is_main_process:
            return
        state = {"recipe": recipe.to_dict(), "ema": ema.module.state_dict(), "step": step, **more}
        torch.save(state, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)

    def save_all() -> None:
        save(
            last,
            student=accelerator.unwrap_model(student).state_dict(),
            optimizer=optimizer.state_dict(),
            schedule=schedule.state_dict(),
        )

    saved = time.monotonic()
    per_epoch = math.ceil(len(data) / optim.batch)
    bar = tqdm(total=total, initial=step, unit="step", disable=not accelerator.is_main_process, mininterval=5.0)
    student.train()
    for crops, target, affect in loader:
        # Dropout draws from the step's own seed, so that a resumed run is the same run.
        torch.manual_seed(hash((recipe.seed, step, accelerator.process_index)))
        with accelerator.autocast():
            losses = student_loss(student(crops), target, affect, optim.affect_weight)
        accelerator.backward(losses["loss"])
        accelerator.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ema.update(accelerator.unwrap_model(student), step=step)
        step += 1
        bar.update()
        if writer and step % 20 == 0:
            for name, value in losses.items():
                writer.add_scalar(f"train/{name}", value.item(), step)
            writer.add_scalar("train/rate", schedule.get_last_lr()[0], step)
            bar.set_postfix(loss=f"{losses['loss'].item():.3f}")
        if step % per_epoch == 0 or step == total:
            for item in validation:
                score = predict(ema.module, item, recipe.crop, limit=1500).accuracy()
                if writer:
                    writer.add_scalar(f"validation/{item.faces.name}", score, step)
                    bar.write(f"step {step}: {item.faces.name} accuracy {score:.4f}")
        if time.monotonic() - saved > SAVE_EVERY_S:
            save_all()
            saved = time.monotonic()
    bar.close()
    save_all()
    save(out / "student.pt")
    if writer:
        writer.close()
    return out / "student.pt"


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this project. Raises ModelInvalid for anything else."""
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; train one with: fer-train run")
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # pickle, zip and torch raise anything on foreign bytes
        raise ModelInvalid(f"{path} is not a readable checkpoint: {error}") from error
    if not isinstance(state, dict) or not {"recipe", "ema"} <= set(state):
        raise ModelInvalid(f"{path} is not a checkpoint of mien: it has no recipe and weights")
    return state


def recipe_of(state: dict[str, Any]) -> Recipe:
    """The recipe that a checkpoint was trained by; keys that are newer than it take their defaults."""
    return build(Recipe, json.loads(json.dumps(state["recipe"])))


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _groups(model: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels only, as usual: not on biases and norms."""
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    rest = [p for p in trained if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


def _rate(step: int, total: int, warmup: float) -> float:
    start = max(1, round(total * warmup))
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - start) / max(1, total - start))))
