"""EmoNet's published checkpoints -> ONNX. Like checkpoint.py, this module may import mien_train and torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from mien.errors import OutputError
from mien.files import replacing
from mien_export.checkpoint import OPSET, quiet_export
from mien_export.parity import ParityError
from mien_train.models.emonet import EMONET_SIZE, EmoNet, load_emonet

OUTPUTS = ("expression", "valence", "arousal", "heatmap", "embedding")
TOLERANCE = 1e-3


class Tupled(nn.Module):
    """EmoNet with its outputs in the order of OUTPUTS."""

    def __init__(self, network: EmoNet):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image)
        return tuple(outputs[name] for name in OUTPUTS)


def export_emonet(weights: Path, out: Path, opset: int = OPSET) -> float:
    """Write ``out``: input ``image`` float32 (N, 3, 256, 256) RGB in [0, 1], N variable; outputs as ``EmoNet.forward``.

    Returns the largest difference of ONNX Runtime from torch on noise, relative to the largest output. Raises
    InputError or ModelInvalid for a bad checkpoint, and ParityError, with nothing written, above 1e-3.
    """
    if out.is_dir():
        raise OutputError(f"{out} is a folder; name the .onnx file to write with -o")
    network = Tupled(load_emonet(weights)).eval()
    image = torch.rand((2, 3, EMONET_SIZE, EMONET_SIZE), generator=torch.Generator().manual_seed(0))
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as aside:
        quiet_export(network, image, aside, "image", OUTPUTS, opset)
        session = onnxruntime.InferenceSession(str(aside), providers=["CPUExecutionProvider"])
        exported = session.run(None, {"image": image.numpy()})
        with torch.inference_mode():
            expected = [output.numpy() for output in network(image)]
        gap = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, exported, strict=True))
        if not gap <= TOLERANCE:
            raise ParityError(f"the exported EmoNet differs from torch by {gap:.1e}; try another --opset")
    return gap
