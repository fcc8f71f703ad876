"""The arguments of ``fer-train continual``, ``fewshot`` and ``explain``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mien.errors import InputError


def add_continual(commands: Any) -> None:
    """Into the subparsers of ``fer-train``."""
    learn = commands.add_parser("continual", help="teach a student compound expressions one after another")
    learn.add_argument("--compare", action="store_true", help="against its rivals, over orders of the classes")
    learn.add_argument("--orders", type=int, default=10, help="of --compare (default: 10)")
    learn.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="of --compare (default: all; a wrong one lists them); METHOD:KEY=VALUE,... has its own settings",
    )
    few = commands.add_parser("fewshot", help="the same from a handful of examples, tested on all classes")
    few.add_argument("--shots", type=int, nargs="+", default=[5, 3, 1], help="examples a class (default: 5 3 1)")
    few.add_argument("--new", type=int, nargs="+", help="how many new classes (default: 3, and all)")
    few.add_argument("--draws", type=int, default=10, help="of classes and examples (default: 10)")
    for command in (learn, few):
        command.add_argument("student", help="knows the basic classes: checkpoint (.pt), bundle folder, or default")
        command.add_argument(
            "--recipe", default="compounds", help="a TOML file, or a packaged name (default: compounds)"
        )
        out = Path("runs/continual" if command is learn else "runs/fewshot")
        command.add_argument("-o", "--out", type=Path, default=out, help=f"what is done there is kept (default: {out})")
        command.add_argument("--threads", type=int, help="CPU threads")
        command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. memory.size=280")

    see = commands.add_parser("explain", help="where in a face a student looks for each class (Grad-CAM)")
    see.add_argument("student", help="checkpoint (.pt; of continual, too), bundle folder, or default")
    see.add_argument("picture", type=Path)
    see.add_argument("--grid", action="store_true", help="each compound in a row with its two basic expressions")
    see.add_argument("-o", "--out", type=Path, default=Path("explained.png"), help="(default: explained.png)")


def run_learning(args: argparse.Namespace) -> int:
    """``continual`` and ``fewshot``."""
    from mien_train.continual import commands, compare, fewshot
    from mien_train.continual.learner import METHODS
    from mien_train.continual.recipe import load_continual
    from mien_train.loop.threads import use_threads

    if args.command == "continual" and args.orders < 1:
        raise InputError("--orders must be 1 or more")
    use_threads(args.threads)
    recipe = load_continual(args.recipe, tuple(args.set))
    if recipe.classes.split == "images" and not (args.command == "continual" and args.compare):
        raise InputError("classes.split = 'images' is for fer-train continual --compare")
    if args.command == "continual" and args.compare:
        compare.check_methods(methods := tuple(args.methods or METHODS), recipe)
    if args.command == "fewshot":
        most = len(recipe.classes.compounds)
        counts = args.new or sorted({min(3, most), most})
        fewshot.check_numbers(args.shots, counts, args.draws, most)
    setup = commands.prepare(args.student, recipe, args.data, args.out)
    command = " ".join(["fer-train", *sys.argv[1:]])
    if args.command == "fewshot":
        report = commands.few(setup, recipe, args.shots, counts, args.draws, args.out, command)
        print(fewshot.as_markdown(report["rows"]) + f"wrote {args.out / 'fewshot.json'} and fewshot.md")
        return 0
    if args.compare:
        report = commands.continual(setup, recipe, methods, args.orders, args.out, command)
        print(compare.as_markdown(report["methods"]), end="")
        for name, gap in report["differences"].items():
            print(
                f"{name}: {100 * gap['mean']:+.1f} [{100 * gap['interval'][0]:+.1f}, {100 * gap['interval'][1]:+.1f}]"
            )
        print(f"wrote {args.out / 'continual.json'}, continual.md and continual.png")
        return 0
    path = commands.learn_all(setup, recipe, args.out)
    print(f"wrote {path}; see what it looks at with: fer-train explain {path} PICTURE")
    print(f"to run it, give it a card with: fer-train finish {path}")
    return 0


def finish_compounds(args: argparse.Namespace) -> int:
    """``finish`` of a checkpoint that has learned compounds."""
    from mien_train.continual.finish import finish_grown
    from mien_train.evaluation.report import lines

    if args.set:
        raise InputError("--set is for students of basic expressions; those that learned compounds have no such values")
    print("\n".join(lines(finish_grown(args.checkpoint, args.data))))
    print(f"{args.checkpoint} is ready; pack it with: fer-export {args.checkpoint} -o DIR")
    return 0


def run_explain(args: argparse.Namespace) -> int:
    from mien_train.continual.explain import explain

    for name, probability in explain(args.student, args.picture, args.out, grid=args.grid).items():
        print(f"{name:24s} {probability:.3f}")
    print(f"wrote {args.out}")
    return 0
