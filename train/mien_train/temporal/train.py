"""Training of the temporal encoder on frozen embeddings: minutes on one core. It resumes where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from mien.errors import InputError
from mien_train.evaluation.metrics import concordance
from mien_train.loop.run_folder import open_folder
from mien_train.losses.concordance import concordance_loss
from mien_train.models.checkpoints import save_checkpoint
from mien_train.temporal.network import CLASSES, TemporalNet, TemporalShape
from mien_train.temporal.sequences import Floats, Sequences, gather

CENTERED = 0.25
"""Share of the steps with earlier and later frames, as in recorded video."""
SAVE_EVERY = 100
"""Steps."""
Draw = Callable[[np.random.Generator, int], Sequences]
"""Draws a number of training sequences."""


@dataclass(frozen=True)
class TemporalRecipe:
    """``steps`` of ``sequences``, with ``asked`` frames of each; ``rate`` of AdamW, with a warm-up over a twentieth of
    the steps and then a cosine; ``affect``: weight of valence and arousal, that of the classes being 1; ``smoothing``
    of labels; ``balance``: the weight of a class is its share of the frames to the power of -balance. Most frames are
    neutral, but more than 0 found rare classes only a little more often, and cost three points of accuracy."""

    steps: int = 800
    sequences: int = 24
    asked: int = 12
    rate: float = 8e-4
    weight_decay: float = 0.2
    affect: float = 1.0
    smoothing: float = 0.05
    balance: float = 0.0
    ema: float = 0.995
    seed: int = 0


def train_temporal(
    draw: Draw, chosen: Sequences, shape: TemporalShape, recipe: TemporalRecipe, out: Path, *, resume: bool = False
) -> Path:
    """Train on sequences from ``draw``, and keep the weights that are best on ``chosen``. Returns ``out/temporal.pt``.

    The data of step n depend only on the seed and n, so a killed run resumes to the same weights. Raises InputError for
    a run that exists already, or was of another shape or recipe.
    """
    last = open_folder(out, resume=resume)
    torch.manual_seed(recipe.seed)
    net = TemporalNet(shape)
    ema = ModelEmaV3(net, decay=recipe.ema, use_warmup=True)
    optimizer = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    rise = min(0.9, max(0.05, 1.5 / recipe.steps))  # torch divides by zero where it is exactly one step
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, recipe.steps, pct_start=rise)
    about = {"shape": asdict(shape), "recipe": asdict(recipe)}
    state: dict[str, Any] = {"step": 0, "best": -1.0, "history": [], **about}
    if last.exists():
        state = torch.load(last, weights_only=True)
        if {key: state[key] for key in about} != about:
            raise InputError(f"{last} is of another shape or recipe; choose another --out")
        net.load_state_dict(state["net"])
        ema.module.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
    weight = _class_weights(draw(np.random.default_rng(recipe.seed), 256), recipe.balance)
    with tqdm(total=recipe.steps, initial=state["step"], unit=" steps", mininterval=5.0) as bar:
        while state["step"] < recipe.steps:
            step = state["step"]
            torch.manual_seed(recipe.seed * 1_000_003 + step)  # dropout
            rng = np.random.default_rng((recipe.seed, step))
            loss = _loss(net.train(), draw(rng, recipe.sequences), recipe, weight, rng)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            ema.update(net, step)
            state["step"] = step + 1
            bar.update()
            if state["step"] % SAVE_EVERY and state["step"] < recipe.steps:
                continue
            score = _score(ema.module, chosen)
            state["history"].append({"step": state["step"], "loss": float(loss.detach()), "validation": score})
            bar.set_postfix(validation=f"{score:.4f}", loss=f"{float(loss.detach()):.3f}")
            if score > state["best"]:
                state["best"] = score
                best = {**about, "ema": ema.module.state_dict(), "best": score, "step": state["step"]}
                save_checkpoint(out / "best.pt", best)
            state |= {"net": net.state_dict(), "ema": ema.module.state_dict(), "optimiser": optimizer.state_dict()}
            state["schedule"] = schedule.state_dict()
            save_checkpoint(last, state)
    best_state = torch.load(out / "best.pt", weights_only=True)
    save_checkpoint(out / "temporal.pt", best_state | {"history": state["history"]})
    (out / "history.json").write_text(json.dumps(state["history"], indent=2) + "\n")
    return out / "temporal.pt"


def load_temporal(path: Path) -> tuple[TemporalNet, dict[str, Any]]:
    """A trained encoder, and all that its file contains. Raises InputError for a missing file or any other file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        net = TemporalNet(TemporalShape(**state["shape"]))
        net.load_state_dict(state["ema"])
    except FileNotFoundError:
        raise InputError(f"no temporal encoder at {path}; make one with: fer-train temporal") from None
    except Exception as error:  # torch, pickle and zip raise many kinds
        raise InputError(f"{path} is not a temporal encoder: {error}") from error
    return net.eval(), state


@torch.inference_mode()
def encode(net: TemporalNet, sequences: Sequences, *, centered: bool = False) -> tuple[Floats, Floats]:
    """The encoder's outputs for every frame: probabilities (S, F, 8) and affect (S, F, 2)."""
    count = sequences.times.shape[1]
    parts = []
    for i in range(0, len(sequences), 16):
        part = sequences.take(np.arange(i, min(i + 16, len(sequences))))
        asked = np.tile(np.arange(count), (len(part), 1))
        logits, affect = _read(net.eval(), part, asked, centered=centered)
        parts.append((logits.softmax(-1).numpy(), affect.clamp(-1, 1).numpy()))
    expression, affects = (np.concatenate(column) for column in zip(*parts, strict=True))
    return expression, affects


def _read(net: TemporalNet, sequences: Sequences, asked: NDArray[np.int64], *, centered: bool) -> tuple[Tensor, Tensor]:
    """``asked`` (S, Q) frames -> logits (S, Q, 8) and affect (S, Q, 2)."""
    index, ages = gather(sequences.times, asked, net.shape.window, centered=centered)
    tokens = net.token(
        *(torch.from_numpy(part) for part in (sequences.embedding, sequences.expression, sequences.affect))
    )
    rows = torch.arange(len(sequences))[:, None, None]
    windows = tokens[rows, torch.from_numpy(index)].flatten(0, 1)
    logits, affect = net(windows, torch.from_numpy(ages).flatten(0, 1))
    return logits.unflatten(0, asked.shape), affect.unflatten(0, asked.shape)


def _class_weights(sequences: Sequences, balance: float) -> Tensor:
    """(8,) weights of the classes; their mean over the frames is 1."""
    labels = sequences.label[np.isfinite(sequences.times) & (sequences.label >= 0)]
    count = np.bincount(labels, minlength=CLASSES).astype(np.float64)
    weight = np.where(count > 0, np.maximum(count, 1) ** -balance, 0.0)
    return torch.tensor(weight * count.sum() / max((weight * count).sum(), 1e-12), dtype=torch.float32)


def _loss(
    net: TemporalNet, sequences: Sequences, recipe: TemporalRecipe, weight: Tensor, rng: np.random.Generator
) -> Tensor:
    lengths = np.isfinite(sequences.times).sum(1)
    asked = (rng.random((len(sequences), recipe.asked)) * lengths[:, None]).astype(np.int64)
    logits, affect = _read(net, sequences, asked, centered=bool(rng.random() < CENTERED))
    label = torch.from_numpy(np.take_along_axis(sequences.label, asked, axis=1)).flatten()
    truth = torch.from_numpy(np.take_along_axis(sequences.truth, asked[..., None], axis=1)).flatten(0, 1)
    affect = affect.flatten(0, 1)
    loss = affect.sum() * 0.0
    if (label >= 0).any():
        loss = loss + F.cross_entropy(
            logits.flatten(0, 1), label, weight, ignore_index=-1, label_smoothing=recipe.smoothing
        )
    known = ~truth.isnan().any(1)
    if known.any():
        near, far = affect[known], truth[known]
        loss = loss + recipe.affect * (F.mse_loss(near, far) + 0.5 * concordance_loss(near, far))
    return loss


def _score(net: TemporalNet, chosen: Sequences) -> float:
    """Accuracy, or where affect is known the mean of accuracy and concordance, from past frames only."""
    expression, affect = encode(net, chosen)
    there = np.isfinite(chosen.times)
    labeled, known = there & (chosen.label >= 0), there & ~np.isnan(chosen.truth).any(-1)
    figures = []
    if labeled.any():
        figures.append(float((expression.argmax(-1) == chosen.label)[labeled].mean()))
    if known.any():
        figures.append(float(concordance(affect[known], chosen.truth[known]).mean()))
    return float(np.mean(figures)) if figures else 0.0
