"""The measurements of ``fer-bench``, part by part.

The report as in ``--json``, with times in ms, sizes in px, memory in MB, and None (null) for unknown values::

    mien, date (UTC, ISO 8601), command, seconds (of calls per row)
    versions     {library: version}
    machine      the facts of fer-doctor: python, system, board, processor, features, cores, usable_cores, memory, gpus;
                 and load, the load average of the last minute at the start
    warnings     [text]: reasons to doubt the measurements
    model        name, crop (px), skipped {reason: [what was not measured]}, rows [device, precision, threads (None for
                 GPUs), batch, TIMES, ms_per_crop (median), speed (crops per second relative to ONNX Runtime's CPU in
                 fp32 with one thread and batch 1, from medians)]
    detector     engine, skipped, rows [search, searched [width x height that the network sees, one per call], TIMES]
    clip         path (None for the drawn one), drawn, size [width, height], fps, stream_over_predict (ratio of frames
                 per second), ways {stream, predict: engine, TIMES, mean_ms, times_real_time, stages_ms {stage: mean ms
                 per frame; their sum is mean_ms}, faces_per_frame, peak_memory_mb, memory_growth_mb,
                 memory_growth_frames, warnings}

TIMES are calls, median_ms, p95_ms, per_second (crops, searches or frames), cores (processor time over time) and
per_second_per_core (per second of processor time).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mien import terminal as console
from mien.bench.clip import MODES, TURNS, check_clip, clip_facts, clip_turns
from mien.bench.engines import detector_facts, detector_works, model_facts, model_works
from mien.bench.scene import make_clip
from mien.bench.table import clip_table, detector_table, model_table
from mien.bench.timing import Samples, Steps, doubts, failures, turns
from mien.bundle import Bundle
from mien.diagnostics.machine import Facts, machine
from mien.diagnostics.selftest import words
from mien.engines.selection import BLOCKS, LIBRARIES, select_backend
from mien.errors import MienError
from mien.packages import installed

CLIP_ROWS = 10
"""The clip is measured this many times as long as a row, in each mode."""


def header(args: argparse.Namespace) -> Facts:
    """The report before anything is measured. Its main facts are printed at once."""
    facts = machine()
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    cores = os.cpu_count() or 1
    usable = facts["usable_cores"] if isinstance(facts["usable_cores"], float) else float(cores)
    if args.threads is None:
        args.threads = sorted({1, max(1, int(usable))})
    say(args, f"mien {version('mien')}, {facts['processor']}, {usable:g} cores, {facts['memory']}")
    report = {
        "mien": version("mien"),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": args.command,
        "seconds": args.seconds,
        "versions": {
            **dict(text.split() for text in installed(LIBRARIES)),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
        "machine": facts | {"load": load},
        "warnings": [],
    }
    _warn(report, doubts(cores, usable, load))
    return report


def measure(report: Facts, args: argparse.Namespace, bundle: Bundle, clip: Facts | None) -> None:
    """Fill the report, part by part. Each part is printed when it ends, even if it is interrupted."""
    _model(report, args, bundle)
    _detector(report, args)
    with tempfile.TemporaryDirectory() as folder:
        path = make_clip(Path(folder)) if clip is None else Path(args.clip)
        _clip(report, args, bundle, clip or {"path": None, "drawn": True, **check_clip(str(path))}, path)


def _model(report: Facts, args: argparse.Namespace, bundle: Bundle) -> None:
    works, skipped = model_works(bundle, args.device, args.precision, args.threads, args.batch)
    samples = {row: Samples() for row in works}
    rows: list[Facts] = []
    try:
        _follow(args, "model", len(works) * BLOCKS, turns(works, samples, args.seconds))
    finally:
        card = bundle.card
        rows, skipped = model_facts(samples), skipped | failures(samples)
        name = f"{card.name} {card.version}"
        report["model"] = {"name": name, "crop": card.crop.size, "skipped": skipped, "rows": rows}
        say(args, model_table(report["model"]))
    if not rows:
        raise MienError(f"the model runs on no backend: {'; '.join(skipped)}")


def _detector(report: Facts, args: argparse.Namespace) -> None:
    try:
        works, facts, engine = detector_works()
    except MienError:
        raise
    except Exception as error:  # the engines' errors have no common class
        raise MienError(f"the detector fails: {words(error)}; run fer-doctor") from error
    samples = {name: Samples() for name in works}
    try:
        _follow(args, "detector", len(works) * BLOCKS, turns(works, samples, args.seconds))
    finally:
        rows = detector_facts(samples, facts)
        report["detector"] = {"engine": engine, "skipped": failures(samples), "rows": rows}
        say(args, detector_table(report["detector"]))


def _clip(report: Facts, args: argparse.Namespace, bundle: Bundle, clip: Facts, path: Path) -> None:
    # A single number of threads applies to everything. If there are several, the stream uses its default.
    threads = args.threads[0] if len(args.threads) == 1 else None
    choice = select_backend(bundle, args.device, args.precision, threads)
    job = {"clip": str(path), "model": str(bundle.folder), "threads": threads}
    job |= {"device": choice.device, "precision": choice.precision}
    answers: dict[str, list[Facts]] = {mode: [] for mode in MODES}
    try:
        _follow(args, "clip", len(MODES) * TURNS, clip_turns(job, answers, CLIP_ROWS * args.seconds))
    finally:
        report["clip"] = clip | clip_facts(answers, clip["fps"])
        say(args, clip_table(report["clip"]))
    modes = report["clip"]["ways"].values()
    found = [text for mode in modes for text in mode["warnings"]]
    if not any(mode["faces_per_frame"] for mode in modes):
        found.append("no face was found in the clip, so only the search was measured on it")
    _warn(report, dict.fromkeys(found))


def _follow(args: argparse.Namespace, name: str, total: int, steps: Steps) -> None:
    # tqdm's None: no bar unless stderr is a terminal.
    with closing(steps), tqdm(steps, name, total, leave=False, disable=args.quiet or None, unit=" turns") as bar:
        for _ in bar:
            pass


def _warn(report: Facts, texts: Iterable[str]) -> None:
    for text in texts:
        report["warnings"].append(text)
        console.tell(f"fer-bench: warning: {text}")


def say(args: argparse.Namespace, text: str) -> None:
    if not args.quiet:
        (console.tell if args.json == "-" else console.say)(text)
