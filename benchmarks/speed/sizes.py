"""Accuracy against latency: bundles of different sizes, run in turn in one process.

    python -m benchmarks.speed.sizes runtime/mien/models/student runs/distill-m/bundle

Prints, for each bundle, the median time of one crop on ONNX Runtime as a ratio to the first bundle's, with one and two
threads, in float32 and, where every bundle has it, in INT8, beside the accuracies of its card. Writes
``benchmarks/results/sizes.json``.
"""

from __future__ import annotations

import statistics
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import add_out, command_parser, heading, in_turn, write_report
from mien.bundle import find_bundle
from mien.engines import load_engine

ROUNDS, WARM_UP = 270, 30


def median_times(paths: dict[str, Path], sizes: dict[str, int], threads: int) -> dict[str, float]:
    """Median seconds of one crop for each file, every round running all of them once."""
    engines = {name: load_engine(path, device="cpu", threads=threads) for name, path in paths.items()}
    rng = np.random.default_rng(0)
    crops = {name: rng.integers(0, 256, (1, sizes[name], sizes[name], 3), np.uint8) for name in paths}
    works = {name: partial(engine.run, crops[name]) for name, engine in engines.items()}
    return {name: statistics.median(values) for name, values in in_turn(works, ROUNDS, warm_up=WARM_UP).items()}


def main() -> None:
    parser = command_parser("speed.sizes", __doc__)
    parser.add_argument("bundles", nargs="+")
    add_out(parser, "sizes.json")
    args = parser.parse_args()
    bundles = {name: find_bundle(name) for name in args.bundles}
    sizes = {name: bundle.card.crop.size for name, bundle in bundles.items()}
    first = args.bundles[0]
    times: dict[str, dict[str, float]] = {}
    for precision in ("fp32", "int8"):
        if all(precision in bundle.precisions for bundle in bundles.values()):
            paths = {name: bundle.model_file(precision) for name, bundle in bundles.items()}
            before = "" if precision == "fp32" else f"{precision}, "
            for threads in (1, 2):
                times[f"{before}time, {threads} threads, over the first"] = median_times(paths, sizes, threads)
    rows: list[dict[str, Any]] = []
    for name, bundle in bundles.items():
        card = bundle.card
        accuracies = {test: v["accuracy"] for test, v in card.metrics.items() if "accuracy" in v}
        row = {
            "bundle": card.name,
            "gmac": round(card.macs / 1e9, 3),
            **{what: round(t[name] / t[first], 3) for what, t in times.items()},
            **accuracies,
            "mean": round(statistics.mean(accuracies.values()), 4),
        }
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    report = {**heading(f"{parser.prog} {' '.join(args.bundles)}", "onnxruntime"), "bundles": rows}
    write_report(args.out, report)


if __name__ == "__main__":
    main()
