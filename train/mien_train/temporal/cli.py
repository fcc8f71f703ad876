"""The arguments of ``fer-train temporal`` and ``sequences``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mien.errors import InputError


def add_temporal(commands: Any) -> None:
    """Into the subparsers of ``fer-train``."""
    temporal = commands.add_parser("temporal", help="train a temporal encoder for the student of a bundle")
    temporal.add_argument(
        "--model", default="default", help="bundle whose student reads the frames (default: packaged)"
    )
    temporal.add_argument("--labels", type=Path, metavar="CSV", help="labeled video (default: sequences from stills)")
    temporal.add_argument("-o", "--out", type=Path, default=Path("runs/temporal"), help="(default: runs/temporal)")
    temporal.add_argument(
        "--scenes",
        type=int,
        default=800,
        help="scenes to make of stills, and an eighth as many to validate on (default: 800)",
    )
    temporal.add_argument("--steps", type=int, help="of training")
    temporal.add_argument("--seed", type=int, default=0)
    temporal.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    temporal.add_argument("--resume", action="store_true", help="go on where the run in --out stopped")
    sequences = commands.add_parser(
        "sequences", help="the labels of a public video set as the CSV of temporal --labels"
    )
    sequences.add_argument("layout", choices=("affwild2", "afew-va", "ck+"))
    sequences.add_argument("root", type=Path, help="folder of the unpacked set")
    sequences.add_argument("-o", "--out", type=Path, required=True, metavar="CSV")
    sequences.add_argument(
        "--rate", type=float, default=0.0, help="frames a second (default: what is usual in the set)"
    )


def run_temporal(args: argparse.Namespace) -> int:
    from mien_train.temporal import pipeline
    from mien_train.temporal.train import TemporalRecipe

    if args.scenes < 1 or (args.steps is not None and args.steps < 1) or args.threads < 1:
        raise InputError("--scenes, --steps and --threads must be 1 or more")
    if args.seed < 0:
        raise InputError(f"--seed is {args.seed}; it must be 0 or more")
    recipe = TemporalRecipe(seed=args.seed, **({"steps": args.steps} if args.steps else {}))
    counts = pipeline.SceneCounts(learned=args.scenes, chosen=max(1, args.scenes // 8))
    figures = pipeline.run_temporal(
        args.model, args.data, args.out, counts, recipe, args.labels, resume=args.resume, threads=args.threads
    )
    print("\n".join(pipeline.lines(figures["validation"])))
    command = " ".join(["fer-train", *sys.argv[1:]])
    (args.out / "temporal.json").write_text(json.dumps({"command": command, "figures": figures}, indent=2) + "\n")
    print(f"wrote {args.out / 'temporal.json'}")
    print(f"{args.out / 'temporal.pt'} is ready; pack it with: fer-export {args.model} --temporal PT -o DIR")
    return 0


def run_sequences(args: argparse.Namespace) -> int:
    from mien_train.temporal.convert import convert

    if not 0 <= args.rate <= 1000:
        raise InputError(f"--rate is {args.rate}; use frames a second, up to 1000")
    print(f"wrote {args.out}: {convert(args.layout, args.root, args.out, args.rate)} labeled frames")
    return 0
