"""Accuracy against latency: bundles of different sizes, run in turn in one process.

    python benchmarks/sizes.py runtime/mien/models/student runs/distill-m/bundle

Prints, for each bundle, the median time of one crop on ONNX Runtime as a ratio to the first bundle's, with one and two
threads, beside the accuracies of its card. Writes ``benchmarks/results/sizes.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from mien.bundle import find_bundle
from mien.engines import load_engine

ROUNDS = 300


def median_times(paths: dict[str, Path], sizes: dict[str, int], threads: int) -> dict[str, float]:
    """Median seconds of one crop for each file, every round running all of them once."""
    engines = {name: load_engine(path, device="cpu", threads=threads) for name, path in paths.items()}
    rng = np.random.default_rng(0)
    crops = {name: rng.integers(0, 256, (1, sizes[name], sizes[name], 3), np.uint8) for name in paths}
    times: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            start = time.perf_counter()
            engine.run(crops[name])
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[ROUNDS // 10 :]) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+")
    args = parser.parse_args()
    bundles = {name: find_bundle(name) for name in args.bundles}
    paths = {name: bundle.model_file("fp32") for name, bundle in bundles.items()}
    sizes = {name: bundle.card.crop.size for name, bundle in bundles.items()}
    times = {threads: median_times(paths, sizes, threads) for threads in (1, 2)}
    first = args.bundles[0]
    rows: list[dict[str, Any]] = []
    for name, bundle in bundles.items():
        card = bundle.card
        accuracies = {test: v["accuracy"] for test, v in card.metrics.items() if "accuracy" in v}
        row = {
            "bundle": card.name,
            "gmac": round(card.macs / 1e9, 3),
            **{
                f"time, {threads} threads, over the first": round(t[name] / t[first], 2) for threads, t in times.items()
            },
            **accuracies,
            "mean": round(statistics.mean(accuracies.values()), 4),
        }
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    report = {"command": f"python benchmarks/sizes.py {' '.join(args.bundles)}", "bundles": rows}
    (Path(__file__).parent / "results" / "sizes.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
