"""A trained temporal encoder -> ``temporal.onnx`` beside the student, compared with torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.bundle import FILES
from mien.engines.graph import OrtGraph
from mien.errors import ModelInvalid
from mien.files import sha256
from mien.tracking.temporal import FILE
from mien.types import Floats
from mien_export.checkpoint import quiet_export
from mien_export.parity import TOLERANCE, ParityError
from mien_train.temporal.network import TemporalDeployed, TemporalShape, count_macs
from mien_train.temporal.train import load_temporal

INPUTS = ("embedding", "expression", "affect", "past", "ages")
OUTPUTS = ("expression_now", "affect_now", "token")
CASES = 64


def add_temporal(path: Path, folder: Path, opset: int) -> dict[str, Any]:
    """Write ``temporal.onnx`` into the bundle ``folder``. Returns its part of the card; ``parity`` in it is the largest
    difference between ONNX Runtime and torch over CASES windows, not all of them full.

    Raises InputError for a file that is not an encoder, ModelInvalid for one that was trained for another student,
    ParityError where ONNX Runtime and torch disagree.
    """
    net, state = load_temporal(path)
    if "card" not in state:
        raise ModelInvalid(f"{path} is not finished; run: fer-train temporal --resume")
    card: dict[str, Any] = dict(state["card"])
    if card["student"] != sha256(folder / FILES["fp32"]):
        raise ModelInvalid(f"{path} was trained for another student than this bundle's; train it with --model")
    deployed = TemporalDeployed(net).eval()
    cases = windows(net.shape)
    example = tuple(torch.from_numpy(cases[name][:2]) for name in INPUTS)
    quiet_export(deployed, example, folder / FILE, INPUTS, OUTPUTS, opset)
    exported = OrtGraph(folder / FILE).run(cases)
    with torch.inference_mode():
        truth = deployed(*(torch.from_numpy(cases[name]) for name in INPUTS))
    gaps = [float(np.abs(exported[name] - part.numpy()).max()) for name, part in zip(OUTPUTS, truth, strict=True)]
    if not max(gaps) <= TOLERANCE:
        raise ParityError(f"the temporal encoder differs from torch by {max(gaps):.2e}, more than {TOLERANCE:g}")
    card["macs"] = count_macs(net.shape)
    return card | {"parity": {name: float(f"{gap:.1e}") for name, gap in zip(OUTPUTS, gaps, strict=True)}}


def windows(shape: TemporalShape, seed: int = 0) -> dict[str, Floats]:
    """Random windows: of one to all frames, some with later frames, some with frames that are too old to count."""
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(CASES, shape.window, 8))
    expression = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    ages = np.cumsum(rng.uniform(0.01, 0.15, (CASES, shape.window - 1)), axis=1)
    ages[rng.random(CASES) < 0.3] *= -1
    ages[np.arange(shape.window - 1) >= rng.integers(0, shape.window, CASES)[:, None]] = np.inf
    past = rng.normal(size=(CASES, shape.window - 1, shape.width))
    read = np.concatenate([np.log(expression[:, 1:]), rng.uniform(-1, 1, (CASES, shape.window - 1, 2))], axis=-1)
    inputs = {
        "embedding": np.abs(rng.normal(size=(CASES, shape.embedding))),
        "expression": expression[:, 0],
        "affect": rng.uniform(-1, 1, (CASES, 2)),
        "past": np.concatenate([past, read], axis=-1),
        "ages": ages,
    }
    return {name: np.asarray(values, np.float32) for name, values in inputs.items()}
