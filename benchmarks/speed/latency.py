"""How long one face takes, ours beside the networks that others run, and beside what this machine can do at most.

    python -m benchmarks.speed.latency
    python -m benchmarks.speed.latency default runs/distill-m/bundle --budget 600

All as ONNX files through ONNX Runtime and OpenVINO, 1 and 2 threads, 1 and 8 pictures, float32 and INT8; everything of
one precision and thread count in turn in this process, matrix products for the peak among it; medians. The peers have
random weights, and latency does not depend on them. Ours take uint8 crops and cast and normalize in the graph; theirs
take float32, which leaves that work out. The first run makes their files, in about five minutes.

Writes ``benchmarks/results/latency.json``, ``latency.png`` and ``roofline.png``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.common import add_out, command_parser, heading, write_report
from benchmarks.speed import layers
from benchmarks.speed.latency_report import bars, plot, show
from benchmarks.speed.macs import count
from benchmarks.speed.peer_files import peer_file
from benchmarks.speed.peers import PEERS, Peer
from benchmarks.speed.roofline import SIZES, Taken, bandwidths, left_matrix, product, timed
from mien.bundle import find_bundle
from mien.engines import has_library, load_engine
from mien.engines.cores import processor

ENGINES, THREADS, BATCHES, PRECISIONS = ("cpu", "openvino"), (1, 2), (1, 8), ("fp32", "int8")
NAMES = {"cpu": "ONNX Runtime", "openvino": "OpenVINO"}
PRODUCT = "matrix product"


@dataclass(frozen=True)
class Network:
    """``files`` by precision; ``example(N)``: what it takes; ``macs`` of one picture."""

    name: str
    macs: int
    files: dict[str, Path]
    example: Callable[[int], np.ndarray[Any, Any]]


def main() -> None:
    parser = command_parser("speed.latency", __doc__)
    parser.add_argument("bundles", nargs="*", default=["default"], help="ours; all ratios are to the first")
    parser.add_argument("--budget", type=float, default=300, help="seconds of measuring, roughly (default: 300)")
    parser.add_argument(
        "--only", nargs="*", default=[""], help="of the peers, those whose names start with one of these"
    )
    add_out(parser, "latency.json")
    args = parser.parse_args()
    networks = [*map(ours, args.bundles), *(peers(args.only))]
    rows: list[dict[str, Any]] = []
    peaks: dict[str, dict[str, Any]] = {}
    share = args.budget / len(PRECISIONS) / len(THREADS) / len(BATCHES)
    for precision in PRECISIONS:
        for threads in THREADS:
            made, peak = measure(networks, precision, threads, share)
            rows += made
            peaks[f"{precision}, {threads} threads"] = peak
    speeds = {f"{threads} threads": bandwidths(threads) for threads in THREADS}
    first = networks[0]
    own = next(iter(speeds["1 threads"]))
    profiles = {}
    for precision in first.files:
        roofs = (
            1e9 * peaks[f"{precision}, 1 threads"]["GMAC/s"],
            1e9 * speeds["1 threads"][own],
            1e9 * speeds["1 threads"]["shared cache"],
        )
        taken = layers.profile(first.files[precision], first.example(1))
        profiles[precision] = layers.by_kind(taken, *roofs)
        if precision == "fp32":
            title = f"{first.name}, float32, one crop, one thread, ONNX Runtime on {processor()}"
            layers.plot(taken, *roofs, title, args.out.with_name("roofline.png"))
    named = " ".join(Path(name).name if Path(name).is_absolute() else name for name in args.bundles)
    report = {
        **heading(f"{parser.prog} {named} --budget {args.budget:g}", "onnxruntime", "openvino", "torch", "timm"),
        "load average at the end": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "note": "peers: architectures with random weights, on which latency does not depend; their INT8 is ONNX "
        "Runtime's static QDQ quantization, calibrated on random pictures. ms of a whole call, median; tenth: what a "
        "tenth of the calls stay under; of_peak: MACs a second over the fastest matrix product of that precision and "
        "thread count on either engine, measured in turn; bandwidth: GB/s read and written; layers: "
        f"{first.name} on ONNX Runtime, one thread, one crop",
        "bars": bars(rows, first.name),
        "peaks": peaks,
        "bandwidth": speeds,
        "layers": profiles,
        "rows": rows,
    }
    write_report(args.out, report)
    show(report)
    plot(rows, first.name, args.out.with_suffix(".png"))


def ours(name: str) -> Network:
    """A bundle, in the precisions it holds."""
    bundle = find_bundle(name)
    card = bundle.card
    size = card.crop.size

    def example(batch: int) -> np.ndarray[Any, Any]:
        return np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)

    files = {key: bundle.model_file(key) for key in PRECISIONS if key in bundle.precisions}
    return Network(card.name, card.macs, files, example)


def peers(starts: list[str]) -> list[Network]:
    """The others' networks, exported and quantized where that is not done yet."""
    made = []
    for peer in PEERS:
        if peer.name.startswith(tuple(starts)):
            print(f"preparing {peer.name}", flush=True)
            files = {precision: peer_file(peer, precision) for precision in PRECISIONS}
            macs, _ = count(peer.build(), peer.example(1))
            made.append(Network(peer.name, macs, files, partial(_pictures, peer)))
    return made


def _pictures(peer: Peer, batch: int) -> np.ndarray[Any, Any]:
    return np.asarray(peer.example(batch))


def measure(
    networks: list[Network], precision: str, threads: int, seconds: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of all networks on all engines, and the peak, each batch for ``seconds``."""
    devices = [name for name in ENGINES if has_library(name)]
    engines = {
        (network.name, device): load_engine(network.files[precision], device=device, threads=threads)
        for network in networks
        for device in devices
        if precision in network.files
    }
    products = _products(precision, threads, devices)
    known = {network.name: network for network in networks}
    best: tuple[float, str] = (0.0, "")
    batches: dict[int, dict[tuple[str, str], Taken]] = {}
    for batch in BATCHES:
        works: dict[tuple[str, str], Callable[[], object]] = dict(products)
        for (name, device), engine in engines.items():
            given = known[name].example(batch)
            works[name, device] = partial(engine.run, given)
        batches[batch] = timed(works, seconds)
        for (name, device), taken in batches[batch].items():
            if name.startswith(PRODUCT):
                best = max(best, (int(name.split()[-1]) ** 3 / taken.median / 1e9, f"{NAMES[device]}, {name}"))
    rows = []
    for batch, times in batches.items():
        for (name, device), taken in times.items():
            if name.startswith(PRODUCT):
                continue
            speed = batch * known[name].macs / taken.median / 1e9
            row = {"network": name, "engine": NAMES[device], "precision": precision, "threads": threads, "batch": batch}
            row |= {"ms": round(1e3 * taken.median, 4), "tenth": round(1e3 * taken.tenth, 4), "calls": taken.calls}
            first = times.get((networks[0].name, device))
            row["over_ours"] = round(taken.median / first.median, 3) if first else None
            rows.append(row | {"gmac_per_s": round(speed, 2), "of_peak": round(speed / best[0], 4)})
    return rows, {"GMAC/s": round(best[0], 2), "by": best[1]}


def _products(precision: str, threads: int, devices: list[str]) -> dict[tuple[str, str], Callable[[], object]]:
    """The matrix products that give the peak, on each engine. OpenVINO takes MatMulInteger apart, and is slow at it."""
    made: dict[tuple[str, str], Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES[precision]:
            path = Path(folder) / f"{size}.onnx"
            onnx.save(product(size, precision), path)
            given = left_matrix(size, precision)
            for device in devices if precision == "fp32" else devices[:1]:
                engine = load_engine(path, device=device, threads=threads)
                made[f"{PRODUCT} {size}", device] = partial(engine.run, given)
    return made


if __name__ == "__main__":
    main()
