"""Where in a face a network looks for each class: Grad-CAM, by Captum, on a picture of the user's."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
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
from mien_train.continual.network import all_blocks, load_grown

COLUMNS = 5


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


def explain(model: str, picture: Path, out: Path) -> dict[str, float]:
    """Draw the map of every class over the largest face of ``picture``, the basic ones first, then the compounds that
    the model has learned. -> probability by class.

    The probabilities are a softmax over all classes and not calibrated. Raises InputError where there is no face,
    SourceError for a file that is not a picture, OutputError where ``out`` cannot be written.
    """
    check_output(str(out), open_source(picture))
    student, recipe, head, names = load_grown(model)
    face = face_of(read_image(picture), recipe.crop)
    all_blocks(student)  # raises for a backbone of another kind
    # The layer before the pooling: coarse, but its cells add up to the logit (Zhou et al. 2016), unlike a finer
    # layer's.
    probability, heat = maps(student.backbone, head, student.backbone.get_submodule("bn2"), face)
    write_whole(out, _drawn(face, names, probability, heat))
    return {name: float(value) for name, value in zip(names, probability, strict=True)}


def _drawn(face: Image, names: tuple[str, ...], probability: Floats, heat: NDArray[np.float32]) -> bytes:
    """A PNG: the face, then a map for each class, the basic ones first. Bright areas speak most for the class."""
    basic = len(EXPRESSIONS)
    groups = [range(basic), range(basic, len(names))]
    rows = [list(group)[k : k + COLUMNS] for group in groups for k in range(0, len(group), COLUMNS)]
    figure, axes = plt.subplots(
        len(rows), COLUMNS + 1, figsize=(2.1 * (COLUMNS + 1), 2.45 * len(rows)), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for line, row in enumerate(rows):
        if row[0] in (0, basic):
            axes[line, 0].imshow(face)
            axes[line, 0].set_title("compound" if row[0] == basic else "basic", fontsize=9)
        for axis, place in zip(axes[line, 1:], row, strict=False):
            peak = float(heat[place].max())
            axis.imshow(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cmap="gray", vmin=0, vmax=255)
            axis.imshow(heat[place], cmap="inferno", alpha=0.55, vmin=0, vmax=max(peak, 1e-6))
            note = "" if peak > 0 else ", nothing speaks for it"
            axis.set_title(f"{names[place]}\n{100 * probability[place]:.1f} %{note}", fontsize=8)
    memory = io.BytesIO()
    figure.savefig(memory, dpi=110, format="png")
    plt.close(figure)
    return memory.getvalue()
