"""INT8: one file with explicit quantize and dequantize nodes, for ONNX Runtime, OpenVINO and TensorRT.

Weights are symmetric per channel, activations symmetric per tensor, as TensorRT requires. ONNX Runtime's quantizer does
the work. Ours are the corrections before and after it (correction.py), and the choice of how ranges are found and which
layers stay float, by measurement on faces.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator, save_tensors_data

from mien.engines import load_engine
from mien.errors import ModelInvalid
from mien.types import Image
from mien_export.correction import correct_biases, equalize, measure_channels, misfits
from mien_export.notes import remove_notes
from mien_export.proof import outputs
from mien_export.ranges import Ranges

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
PERCENTILE = 99.99
QUANTIZED = ["Conv", "Clip", "Relu", "Add"]
"""The heads stay float: they are a thousandth of the work, and calibrated probabilities depend on them."""
CHUNK = 16
TARGET = 0.005
"""Mean difference of a probability at which no further layer needs to stay float."""
MAX_FLOAT_LAYERS = 4
"""Layers that may stay float, but at most a quarter of all: a model that is called INT8 should be INT8."""


def best_ranges(
    model: Path, seen: Image, judged: Image, origin: str, methods: Sequence[str] = tuple(METHODS)
) -> Ranges:
    """Measure ranges on the crops ``seen`` by every method, and keep those whose INT8 model differs least from fp32 on
    ``judged``. Then leave the layers float that lose most, until the difference is small enough.

    Crops are uint8 (N, S, S, 3), and the two sets should be different faces.
    """
    reference, _ = outputs(load_engine(model, device="cpu"), judged)

    def error(ranges: Ranges) -> float:
        with tempfile.TemporaryDirectory() as folder:
            quantize(model, ranges, Path(folder) / "int8.onnx")
            quantized, _ = outputs(load_engine(Path(folder) / "int8.onnx", device="cpu"), judged)
        return float(np.abs(quantized - reference).mean())

    exact = onnx.load(model)
    channels = measure_channels(exact, seen)
    with tempfile.TemporaryDirectory() as folder:
        equal = Path(folder) / "equal.onnx"
        onnx.save(equalize(exact, channels)[0], equal)
        tried = [Ranges(m, len(seen), origin, measure(equal, seen, m), channels=channels) for m in methods]
    best, least = min(((ranges, error(ranges)) for ranges in tried), key=lambda pair: pair[1])
    if least <= TARGET:
        return best
    layers = layers_of(model)
    without = {layer: error(replace(best, float_nodes=(layer,))) for layer in layers}
    for layer in sorted(layers, key=without.__getitem__)[: min(MAX_FLOAT_LAYERS, len(layers) // 4)]:
        more = replace(best, float_nodes=(*best.float_nodes, layer))
        now = error(more)
        if now < least:
            best, least = more, now
        if least <= TARGET:
            break
    return best


def layers_of(model: Path) -> list[str]:
    """Names of the convolutions of an ONNX file."""
    return [node.name for node in onnx.load(model).graph.node if node.op_type == "Conv"]


def measure(model: Path, crops: Image, method: str) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of each activation over ``crops``, by a method of METHODS."""
    extremes: dict[str, tuple[float, float]] = {}
    if method != "minmax":
        flat = _flat_tensors(model)
        extremes = {name: ends for name, ends in measure(model, crops, "minmax").items() if name in flat}
    options: dict[str, Any] = {"symmetric": True}
    if method == "percentile":
        options["percentile"] = PERCENTILE
    with tempfile.TemporaryDirectory() as folder, _quiet():
        calibrator = create_calibrator(
            model,
            QUANTIZED,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=METHODS[method],
            extra_options=options,
        )
        if extremes:
            calibrator.tensors_to_calibrate -= set(extremes)
        # In parts, because the calibrator keeps all activations of what it is given at once.
        for start in range(0, len(crops), CHUNK):
            calibrator.collect_data(_Reader(crops[start : start + CHUNK]))
        collected = calibrator.compute_data()
    made = {name: (float(np.min(r.range_value[0])), float(np.max(r.range_value[1]))) for name, r in collected.items()}
    return extremes | made


def _flat_tensors(model: Path) -> set[str]:
    """Names of the tensors without height and width, which are those of the heads. They keep their extremes, because a
    temperature that is nearly the same for all faces varies too little for a histogram."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(model)).graph
    known = [item for item in (*graph.value_info, *graph.output) if item.type.tensor_type.HasField("shape")]
    return {item.name for item in known if len(item.type.tensor_type.shape.dim) < 4}


def quantize(model: Path, ranges: Ranges, out: Path) -> None:
    """Write ``model`` (fp32 ONNX) as INT8 to ``out``. Raises ModelInvalid where the ranges belong to another model."""
    graph = onnx.load(model).graph
    tensors = dict(ranges.tensors)
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    for node in graph.node:
        # The output of a convolution is clipped at once, so its range need not include values beyond the clip.
        if node.op_type in ("Clip", "Relu") and made_by.get(node.input[0]) == "Conv" and node.output[0] in tensors:
            tensors[node.input[0]] = tensors[node.output[0]]
    names = {node.name for node in graph.node}
    missing = [name for name in ranges.float_nodes if name not in names] + [
        node.name for node in graph.node if node.op_type == "Conv" and node.input[0] not in tensors
    ]
    if ranges.channels.means:
        missing += misfits(graph, ranges.channels)
    if missing:
        raise ModelInvalid(f"the calibration ranges are not those of {model} ({missing[0]}); measure them with --data")
    exact, channels = equalize(onnx.load(model), ranges.channels)
    data = {name: (np.float32(low), np.float32(high)) for name, (low, high) in tensors.items()}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        ranges_file = Path(folder) / "ranges.json"
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), ranges_file)
        equal, rounded = Path(folder) / "equal.onnx", Path(folder) / "rounded.onnx"
        onnx.save(exact, equal)
        quantize_static(
            equal,
            rounded,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(ranges.float_nodes),
            calibrate_method=CalibrationMethod.MinMax,
            # TensorRT does not accept int32 biases; there are few, so they stay float.
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            calibration_cache_path=ranges_file,
        )
        model_int8 = onnx.load(rounded)
    if channels.means:
        correct_biases(model_int8, exact, channels.means)
    _free(model_int8, ranges.float_nodes)
    _strip(model_int8)
    onnx.save(model_int8, out)


def _free(model: onnx.ModelProto, layers: Sequence[str]) -> None:
    """Let ``layers`` read values that were not quantized. ONNX Runtime (WeightBiasQuantization, at every level of
    optimization) treats a float layer between a DequantizeLinear and a QuantizeLinear as one to quantize: it rounds the
    weights itself, with one scale for all channels, which ruins a depthwise convolution."""
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        reader = makers.get(node.input[0]) if node.name in layers else None
        if reader is not None and reader.op_type == "DequantizeLinear":
            node.input[0] = makers[reader.input[0]].input[0]
    for kind in ("DequantizeLinear", "QuantizeLinear"):  # those that nothing reads any more
        used = {name for node in model.graph.node for name in node.input} | {item.name for item in model.graph.output}
        for node in [node for node in model.graph.node if node.op_type == kind and node.output[0] not in used]:
            model.graph.node.remove(node)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what an engine derives by itself, and what nothing reads."""
    del model.graph.value_info[:]
    used = {name for node in model.graph.node for name in node.input}
    for item in [item for item in model.graph.initializer if item.name not in used]:
        model.graph.initializer.remove(item)
    remove_notes(model)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, crops: Image):
        self.left: Iterator[Image] = iter([crops])

    def get_next(self) -> dict[str, Image] | None:
        part = next(self.left, None)
        return None if part is None else {"crops": part}


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the progress that ONNX Runtime's quantizer prints, and its advice on the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
