"""Where a model's time goes: ONNX Runtime's profile by layer, against what the machine could do.

A layer takes at least its multiply-accumulates over the measured peak, and at least its bytes over the measured
bandwidth: Williams, Waterman & Patterson 2009, "Roofline", CACM 52(4):65-76. Weights of a whole network do not stay in
a core's own cache from one call to the next, so they come at the shared cache's speed; activations of one layer do.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import numpy as np
import onnxruntime as ort

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.collections import PathCollection

WIDTHS = {"float": 4, "float16": 2, "int8": 1, "uint8": 1, "int32": 4, "int64": 8}
COLORS = {"stem": "#8e44ad", "depthwise": "#2980b9", "pointwise": "#c0392b", "other products": "#16a085"}
REST = "layout, casts, clips"


@dataclass(frozen=True)
class Layer:
    """``seconds``: median of its calls. ``weights`` and ``moved`` are bytes: its constants, and its activations."""

    name: str
    kind: str
    seconds: float
    macs: int
    weights: int
    moved: int

    def attainable(self, peak: float, near: float, shared: float) -> float:
        """Seconds by the roofline; ``peak`` in MACs a second, ``near`` and ``shared`` in bytes a second."""
        return max(self.macs / peak, self.weights / shared + self.moved / near)


def profile(path: Path, batch: np.ndarray[Any, Any], threads: int = 1, calls: int = 200) -> list[Layer]:
    """The nodes that ONNX Runtime executes, in their order."""
    # Weights that were packed beforehand are missing from what the profiler lists as inputs: hence a second look.
    seconds, shapes = _events(path, batch, threads, calls, packed=True), _events(path, batch, threads, 1, packed=False)
    return [
        read_layer(name, shapes[name][0][1], median(taken for taken, _ in every[len(every) // 10 :]))
        for name, every in seconds.items()
    ]


def _events(
    path: Path, batch: np.ndarray[Any, Any], threads: int, calls: int, *, packed: bool
) -> dict[str, list[tuple[float, Mapping[str, Any]]]]:
    """Of each node, by name: seconds and details of each call."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_profiling = True
    options.add_session_config_entry("session.disable_prepacking", "0" if packed else "1")
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        for _ in range(calls):
            session.run(None, {name: batch})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: dict[str, list[tuple[float, Mapping[str, Any]]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found[event["name"].removesuffix("_kernel_time")].append((event["dur"] / 1e6, event["args"]))
    return found


def read_layer(name: str, details: Mapping[str, Any], seconds: float) -> Layer:
    """From what the profiler tells of a node: its kind, and the types and shapes of what goes in and comes out."""
    given, made = _tensors(details["input_type_shape"]), _tensors(details["output_type_shape"])
    operator = details["op_name"]
    kind, macs, constants = REST, 0, 0
    if operator.endswith("Conv") or operator.startswith("Conv"):
        # Not at a fixed place: a QLinearConv's scales and zero points, which may be left out, come between.
        at = next(k for k, (_, shape) in enumerate(given) if k > 0 and len(shape) > 2)
        kernel = given[at][1]
        # The weight's second edge is the channels that one output looks at; blocked layouts may pad it to a multiple.
        macs = prod(made[0][1]) * prod(kernel[1:])
        kind = "depthwise" if kernel[1] == 1 else "stem" if kernel[1] == 3 else "pointwise"
        kind = kind if kind != "pointwise" or prod(kernel[2:]) == 1 else "other products"
        constants = _size(given[at:])
    elif operator in ("Gemm", "MatMul", "FusedGemm", "FusedMatMul", "QGemm", "QLinearMatMul"):
        inner = given[0][1][-1]
        kind, macs, constants = "other products", prod(made[0][1]) * inner, _size(given[1:])
    return Layer(name, kind, seconds, macs, constants, _size(given) - constants + _size(made))


def _tensors(shapes: Sequence[Mapping[str, Sequence[int]]]) -> list[tuple[str, tuple[int, ...]]]:
    return [(kind, tuple(shape)) for entry in shapes for kind, shape in entry.items()]


def _size(tensors: Sequence[tuple[str, tuple[int, ...]]]) -> int:
    return sum(WIDTHS.get(kind, 4) * prod(shape) for kind, shape in tensors)


def by_kind(layers: Sequence[Layer], peak: float, near: float, shared: float) -> dict[str, dict[str, float]]:
    """Of each kind of layer, and of all: how much of the time, how fast, and the time by the roofline over it."""
    kinds = [*COLORS, REST]
    groups = {kind: [layer for layer in layers if layer.kind == kind] for kind in kinds}
    total = sum(layer.seconds for layer in layers)
    rows = {}
    for kind, part in {**groups, "all": list(layers)}.items():
        took = sum(layer.seconds for layer in part)
        if not part or not took:
            continue
        macs = sum(layer.macs for layer in part)
        rows[kind] = {
            "layers": len(part),
            "ms": round(1e3 * took, 4),
            "of the time": round(took / total, 4),
            "of the MACs": round(macs / sum(layer.macs for layer in layers), 4),
            "GMAC/s": round(macs / took / 1e9, 2),
            "of the peak": round(macs / took / peak, 4),
            "attainable ms": round(1e3 * sum(x.attainable(peak, near, shared) for x in part), 4),
            "attainable / measured": round(sum(x.attainable(peak, near, shared) for x in part) / took, 4),
        }
    return rows


def plot(layers: Sequence[Layer], peak: float, near: float, shared: float, title: str, path: Path) -> None:
    """Each layer by MACs a byte and MACs a second, its area the time it takes, under the machine's roofs."""
    figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
    along = np.logspace(-1.3, 2, 200)
    for speed, style, name in ((near, "-", "a core's own cache"), (shared, "--", "shared cache")):
        axis.plot(along, np.minimum(peak, along * speed) / 1e9, style, color="#7f8c8d", label=f"roof, {name}")
    total = sum(layer.seconds for layer in layers)
    for kind, color in COLORS.items():
        part = [layer for layer in layers if layer.kind == kind and layer.macs]
        if not part:
            continue
        share = sum(layer.seconds for layer in part) / total
        axis.scatter(
            [layer.macs / (layer.weights + layer.moved) for layer in part],
            [layer.macs / layer.seconds / 1e9 for layer in part],
            s=[4000 * layer.seconds / total for layer in part],
            color=color,
            alpha=0.6,
            label=f"{kind}, {share:.0%} of the time",
        )
    rest = sum(layer.seconds for layer in layers if layer.kind == REST) / total
    axis.plot([], [], " ", label=f"{REST}: {rest:.0%}")
    axis.set(xscale="log", yscale="log", xlabel="multiply-accumulates a byte", ylabel="GMAC/s")
    axis.set_title(title, fontsize=10)
    legend = axis.legend(frameon=False, fontsize=8, loc="lower right")
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([40])
    axis.grid(color="#eee")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
