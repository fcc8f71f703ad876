"""Where in a face a network looks for each class: Grad-CAM, by Captum, on a picture of the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.align import CropSpec, crop, crop_matrix
from mien.errors import InputError
from mien.files import write_whole
from mien.sinks.paths import check_output
from mien.sources.factory import open_source
from mien.sources.images import read_image
from mien.types import EXPRESSIONS, Floats, Image
from mien.vision.detector import load_detector
from mien_train.continual.explain_plot import draw_all, draw_grid
from mien_train.continual.network import all_blocks, load_grown


class _Classes(nn.Module):
    """Float crops (N, 3, H, W) -> logits (N, classes)."""

    def __init__(self, backbone: nn.Module, head: nn.Linear):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(x))
        return logits


def face_of(picture: Image, spec: CropSpec) -> Image:
    """The crop of the largest face of a BGR picture, uint8 RGB (size, size, 3). Raises InputError where there is
    none."""
    found = load_detector().detect(picture)
    if not found:
        raise InputError("no face was found in this picture; give one with a larger or clearer face")
    largest = max(found, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))
    return crop(picture, crop_matrix(spec, largest.box, largest.landmarks), spec.size)


def maps(backbone: nn.Module, head: nn.Linear, layer: nn.Module, face: Image) -> tuple[Floats, NDArray[np.float32]]:
    """A crop (size, size, 3) -> the probability of each class (C,), and its map (C, size, size), which is not negative.

    Grad-CAM (Selvaraju et al. 2017, equations 1 and 2) on the output of ``layer``.
    """
    model = _Classes(backbone, head).eval()
    x = (torch.from_numpy(face).float().permute(2, 0, 1)[None] - 127.5) / 127.5
    cam = LayerGradCam(model, layer)
    parts = [cam.attribute(x.requires_grad_(), target=c, relu_attributions=True) for c in range(head.out_features)]
    large = LayerAttribution.interpolate(torch.cat(parts), face.shape[:2], "bilinear")
    with torch.no_grad():
        probability = model(x).softmax(1)[0]
    return probability.numpy(), large[:, 0].detach().numpy()


def likeness(first: Floats, second: Floats) -> float:
    """Correlation of two maps, 1 where they are alike; NaN where one of them is the same everywhere."""
    flat = np.ptp(first) == 0 or np.ptp(second) == 0
    return float("nan") if flat else float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def explain(model: str, picture: Path, out: Path, *, grid: bool = False) -> dict[str, float]:
    """Draw the map of every class over the largest face of ``picture``, the basic ones first, then the compounds that
    the model has learned. -> probability by class.

    With ``grid`` each compound has a row, in which it stands beside the two basic expressions that make it up.

    The probabilities are a softmax over all classes and not calibrated. Raises InputError where there is no face, or
    for a grid of a model without compounds, SourceError for a file that is not a picture, OutputError where ``out``
    cannot be written.
    """
    check_output(str(out), open_source(picture))
    student, recipe, head, names = load_grown(model)
    if grid and len(names) == len(EXPRESSIONS):
        raise InputError("this model has learned no compounds to draw beside the basic expressions; leave out --grid")
    face = face_of(read_image(picture), recipe.crop)
    all_blocks(student)  # raises for a backbone of another kind
    # The layer before the pooling: coarse, but its cells add up to the logit (Zhou et al. 2016), unlike a finer
    # layer's.
    probability, heat = maps(student.backbone, head, student.backbone.get_submodule("bn2"), face)
    write_whole(out, (draw_grid if grid else draw_all)(face, names, probability, heat))
    return {name: float(value) for name, value in zip(names, probability, strict=True)}
