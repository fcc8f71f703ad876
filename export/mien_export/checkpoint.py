"""Checkpoint -> ONNX. Only this module, emonet.py and temporal.py may import mien_train and torch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from mien.bundle.card import ModelCard, card_from_dict
from mien.engines.head import Head
from mien.errors import InputError, ModelInvalid
from mien.types import EXPRESSIONS, Floats, Image
from mien_export.notes import remove_notes
from mien_train.continual.network import grown_of
from mien_train.models.checkpoints import load_checkpoint
from mien_train.models.student import Student

OPSET = 18


class Deployed(nn.Module):
    """A trained student as devices run it: calibrated probabilities, affect clipped to [-1, 1], embedding.

    It wraps the trained module, so that what is exported is what was evaluated. ``labels``: the classes that it
    learned; the probabilities of these add up to 1, and there are no others. ``compounds``: names and head of those
    that it learned beside the basic ones.
    """

    def __init__(
        self,
        student: Student,
        labels: tuple[str, ...] = EXPRESSIONS,
        compounds: tuple[tuple[str, ...], nn.Linear | None] = ((), None),
    ):
        super().__init__()
        self.student = student
        names, self.compounds = (*EXPRESSIONS, *compounds[0]), compounds[1]
        self.columns = [names.index(label) for label in labels] if labels != names else None

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = self.student(crops)
        logits = output.logits
        if self.compounds is not None:
            logits = torch.cat([logits, self.compounds(output.embedding)], dim=1)
        if self.columns is not None:
            logits = logits[:, self.columns]
        return (logits / output.temperature).softmax(1), output.affect.clamp(-1, 1), output.embedding


def head_of(model: Deployed) -> Head:
    """All that ``model`` adds to its embedding to tell its classes: a linear layer and the temperature."""
    student = model.student
    layers = [student.expression] + ([model.compounds] if model.compounds is not None else [])
    weight = torch.cat([layer.weight for layer in layers]).detach().numpy()
    bias = torch.cat([layer.bias for layer in layers]).detach().numpy()
    columns = slice(None) if model.columns is None else model.columns
    heat = student.log_temperature
    temperature = torch.cat([heat.weight[0], heat.bias]).detach().numpy()
    return Head(weight[columns], bias[columns], temperature)


def load_deployed(path: Path) -> tuple[Deployed, ModelCard]:
    """A finished checkpoint. Raises InputError or ModelInvalid where it is missing, foreign or not finished."""
    state = load_checkpoint(path)
    if "card" not in state:
        raise ModelInvalid(f"{path} has no card yet; run: fer-train finish {path}")
    card = card_from_dict(state["card"])
    student, _, compounds = grown_of(state)
    return Deployed(student, card.labels, compounds).eval(), card


def write_onnx(model: Deployed, card: ModelCard, path: Path, opset: int = OPSET) -> None:
    """Write the fp32 ONNX file: input ``crops`` uint8 (N, H, W, 3) with N variable, outputs as the card says."""
    size = card.crop.size
    example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    quiet_export(model, example, path, "crops", ("expression", "affect", "embedding"), opset)


def quiet_export(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    path: Path,
    name: str | tuple[str, ...],
    outputs: tuple[str, ...],
    opset: int,
) -> None:
    """torch's exporter, with a variable first dimension of every input, and without its messages and notes.

    Raises InputError for an opset that torch cannot write.
    """
    examples = (example,) if isinstance(example, Tensor) else example
    for library in ("torch.onnx", "onnxscript"):
        logging.getLogger(library).setLevel(logging.ERROR)
    rows = torch.export.Dim("N", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            examples,
            str(path),
            input_names=[name] if isinstance(name, str) else list(name),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: rows} for _ in examples),
            opset_version=opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    graph = onnx.load(path)
    (made,) = (one.version for one in graph.opset_import if one.domain == "")
    if made != opset:  # where torch fails to convert the graph, it writes its own opset without a word
        raise InputError(f"--opset {opset} is not possible; give one of {made} to {onnx.defs.onnx_opset_version()}")
    remove_notes(graph)
    onnx.save(graph, path)


@torch.inference_mode()
def run_torch(model: Deployed, crops: Image) -> tuple[Floats, Floats, Floats]:
    """uint8 (N, H, W, 3) -> expression, affect and embedding by torch, the reference that exports are compared with."""
    expression, affect, embedding = model(torch.from_numpy(crops))
    return np.asarray(expression), np.asarray(affect), np.asarray(embedding)
