"""The peers' networks as ONNX files, float32 and INT8, made once and kept."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from benchmarks.common import ROOT
from benchmarks.speed import peers
from benchmarks.speed.peers import Peer, settled
from mien_export.checkpoint import OPSET, quiet_export

FOLDER = ROOT / ".cache" / "peers"
INPUT = "pictures"


def peer_file(peer: Peer, precision: str, folder: Path = FOLDER) -> Path:
    """The network as ONNX, ``fp32`` or ``int8``, its input ``pictures`` float32 (N, C, H, W) with N free. Its name
    tells the makers' versions, so what an older one made is not taken."""
    path = folder / f"{peer.name}-{_made_by()}.{precision}.onnx"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        exact = path if precision == "fp32" else peer_file(peer, "fp32", folder)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with _quiet():
            if precision == "fp32":
                export(peer, partial)
            else:
                quantize(exact, partial, peer.example(2).numpy())
        partial.replace(path)
    return path


def export(peer: Peer, path: Path) -> None:
    """As the student is exported. Batch norms behind a convolution are folded into it by torch's exporter."""
    quiet_export(settled(peer), peer.example(2), path, INPUT, (), OPSET)


def quantize(exact: Path, path: Path, pictures: np.ndarray[Any, Any]) -> None:
    """ONNX Runtime's own static quantization, as it advises for CPUs with VNNI: QDQ, uint8 activations with a zero
    point (a ReLU then costs nothing), int8 weights by channel, every kind of layer that it knows.

    Calibrated on random pictures: the labels are worth nothing, and cost exactly as much time.
    """
    quantize_static(
        exact,
        path,
        _Reader(pictures),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    made = onnx.load(path)
    del made.graph.value_info[:]  # of the calibration's batch size
    onnx.save(made, path)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pictures: np.ndarray[Any, Any]):
        self.left = iter([pictures])

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        part = next(self.left, None)
        return None if part is None else {INPUT: part}


def _made_by() -> str:
    """Of the libraries and of the networks' source."""
    versions = [version(name) for name in ("torch", "timm", "onnx", "onnxscript", "onnxruntime")]
    sources = [Path(str(file)).read_bytes() for file in (__file__, peers.__file__)]
    return hashlib.sha256(repr((versions, sources)).encode()).hexdigest()[:10]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter and the quantizer print their progress and their advice."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
