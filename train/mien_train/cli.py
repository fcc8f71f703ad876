"""fer-train: train a student, and say what it is worth."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mien.errors import MienError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fer-train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="train a student from a recipe, calibrate and evaluate it")
    run.add_argument("recipe", nargs="?", default="student", help="a TOML file, or a packaged name (default: student)")
    run.add_argument("-o", "--out", type=Path, default=Path("runs/student"), help="run folder (default: runs/student)")
    run.add_argument("--faces", type=Path, metavar="FOLDER", help="learn from your own FOLDER of <class>/*.jpg alone")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. optim.epochs=2")
    run.add_argument("--resume", action="store_true", help="go on where the run in --out stopped")
    run.add_argument("--threads", type=int, help="CPU threads")

    finish = commands.add_parser("finish", help="fit affect head and temperature, evaluate, write the card")
    evaluate = commands.add_parser("evaluate", help="held-out figures of a checkpoint, with confusion matrices")
    evaluate.add_argument("-o", "--out", type=Path, help="folder for evaluation.json and confusion.png")
    for command in (finish, evaluate):
        command.add_argument("checkpoint", type=Path)
    for command in (run, finish, evaluate):
        command.add_argument("--data", type=Path, help="folder of the data sets (default: variable MIEN_DATA)")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    # torch takes seconds to import: --help and bad usage should not wait for it.
    from mien_train.evaluate import evaluate
    from mien_train.finish import finish

    if args.command == "run":
        from mien_train.recipe import load_recipe, recipes_folder
        from mien_train.trainer import train

        packaged = recipes_folder() / f"{args.recipe}.toml"
        recipe = load_recipe(packaged if packaged.is_file() else Path(args.recipe), tuple(args.set))
        if args.faces:
            own = replace(recipe.data, train=(str(args.faces),), validation=(), test=(), affect="", holdout=0.15)
            recipe = replace(recipe, data=own)
        args.checkpoint = train(recipe, args.data, args.out, resume=args.resume, threads=args.threads)
    if args.command in ("run", "finish"):
        card = finish(args.checkpoint, args.data)
        _print(card.metrics)
        print(f"mean temperature {card.calibration.temperature}")
        print(f"{args.checkpoint} is ready; pack it with: fer-export {args.checkpoint} -o DIR")
        return 0
    from mien_train.plots import plot_confusion

    figures, tests = evaluate(args.checkpoint, args.data)
    _print(figures)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        report = {"command": f"fer-train evaluate {args.checkpoint} -o {args.out}", "figures": figures}
        (args.out / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n")
        plot_confusion(tests, args.out / "confusion.png")
        print(f"wrote {args.out / 'evaluation.json'} and {args.out / 'confusion.png'}")
    return 0


def _print(figures: dict[str, Any]) -> None:
    for name, values in figures.items():
        if isinstance(values, dict) and "accuracy" in values:
            low, high = values["interval"]
            print(f"{name:24s} accuracy {values['accuracy']:.4f} [{low:.4f}, {high:.4f}]", end="  ")
            print(f"macro-F1 {values['macro_f1']:.4f}  ECE {values['calibration_error']:.4f}")
            recalls = "  ".join(f"{label} {recall:.2f}" for label, recall in values["recall"].items())
            print(f"{'':24s} recall {recalls}")
        elif isinstance(values, dict):
            for kind, affect in values.items():
                print(f"{name:24s} {kind}: " + "  ".join(f"{key} {value:.4f}" for key, value in affect.items()))
        else:
            print(f"{name:24s} {values}")


def main() -> None:
    try:
        sys.exit(run(parse_args()))
    except MienError as error:
        print(f"fer-train: {error}", file=sys.stderr)
        sys.exit(2)
    except ImportError as error:
        print(f'fer-train: {error.name} is missing; run: pip install "mien[cpu,train]"', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("fer-train: stopped; go on with --resume", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
