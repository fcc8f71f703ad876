"""fer-train: train or distill a student, and measure how good it is."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import InputError, MienError
from mien.terminal import open_streams
from mien_train.continual.cli import add_continual, finish_compounds, run_explain, run_learning
from mien_train.data.class_folders import WANTED
from mien_train.semi.cli import add_semi, compare, pretrain
from mien_train.temporal.cli import add_temporal, run_sequences, run_temporal

if TYPE_CHECKING:
    from mien_train.recipe import Recipe


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fer-train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="train a student from a recipe, calibrate and evaluate it")
    run.add_argument("recipe", nargs="?", default="student", help="a TOML file, or a packaged name (default: student)")
    distill = commands.add_parser("distill", help="the same with a teacher (distill.teacher of the recipe)")
    distill.add_argument("--recipe", default="distill-s", help="a TOML file, or a packaged name (default: distill-s)")
    ablate = commands.add_parser("ablate", help="train with and without each part of distillation, over seeds")
    ablate.add_argument("--recipe", default="ablation", help="a TOML file, or a packaged name (default: ablation)")
    ablate.add_argument("--seeds", type=int, default=3)
    ablate.add_argument("--arms", nargs="+", metavar="ARM", help="(default: all; a wrong one lists them)")
    semi, semi_compare = add_semi(commands)
    for command in (run, distill):
        command.add_argument("-o", "--out", type=Path, default=Path("runs/student"), help="(default: runs/student)")
        command.add_argument("--faces", type=Path, metavar="FOLDER", help="learn from your own FOLDER of <class>/*.jpg")
        command.add_argument("--precision", choices=("no", "bf16", "fp16"), help="mixed precision")
    for command in (run, distill, semi):
        command.add_argument("--resume", action="store_true", help="go on where the run in --out stopped")
    for command in (run, distill, semi, semi_compare):
        command.add_argument("--threads", type=int, help="CPU threads")
    for command in (semi, semi_compare):
        command.add_argument("--precision", choices=("no", "bf16"), help="mixed precision")
    ablate.add_argument("-o", "--out", type=Path, default=Path("runs/ablation"), help="(default: runs/ablation)")
    for command in (distill, ablate):
        command.add_argument("--teacher", help="checkpoint (.pt), bundle or TOML file; sets distill.teacher")
        command.add_argument("--cache", help="folder of fer-train cache; sets distill.cache")
    for command in (run, distill, ablate, semi, semi_compare):
        command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. optim.epochs=2")

    cache = commands.add_parser("cache", help="compute a teacher's outputs once, for training to read")
    cache.add_argument("teacher", help="checkpoint (.pt), bundle or TOML file")
    cache.add_argument("sets", nargs="+", metavar="SET", help="for example rafdb/train, or a folder of <class>/*.jpg")
    cache.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER")
    cache.add_argument("--precision", choices=("no", "bf16"), default="no", help="mixed precision (default: no)")

    finish = commands.add_parser("finish", help="fit affect head and temperature, evaluate, write the card")
    finish.add_argument("checkpoint", type=Path)
    finish.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. data.contempt=0.3")
    evaluate = commands.add_parser("evaluate", help="held-out figures of a checkpoint, a bundle or a teacher")
    evaluate.add_argument("source", help="checkpoint (.pt), bundle or TOML file of a teacher")
    evaluate.add_argument("-o", "--out", type=Path, help="folder for evaluation.json and evaluation.png")
    compare = commands.add_parser("compare", help="the difference of two, on the same images, with its interval")
    compare.add_argument("source", metavar="first")
    compare.add_argument("second")
    compare.add_argument("-o", "--out", type=Path, help="JSON file to write")
    for command in (evaluate, compare):
        command.add_argument("--sets", nargs="+", default=[], metavar="SET", help="(default: the test sets)")
    add_temporal(commands)
    add_continual(commands)
    for command in commands.choices.values():
        command.add_argument("--data", type=Path, help="folder of the data sets (default: variable MIEN_DATA)")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    return {
        "run": _train,
        "distill": _train,
        "ablate": _ablate,
        "semi": _semi,
        "semi-compare": _semi_compare,
        "cache": _cache,
        "finish": _finish,
        "evaluate": _evaluate,
        "compare": _compare,
        "temporal": run_temporal,
        "sequences": run_sequences,
        "continual": run_learning,
        "fewshot": run_learning,
        "explain": run_explain,
    }[args.command](args)


# torch takes seconds to import, so each command imports what it needs: --help and usage errors should not wait for it.


def _recipe(args: argparse.Namespace) -> Recipe:
    from mien_train.recipe import load_recipe, recipes_folder

    own = _own(faces := getattr(args, "faces", None))
    changes = [
        f"{key}={json.dumps(value)}"
        for key, value in (
            ("distill.teacher", getattr(args, "teacher", None)),
            ("distill.cache", getattr(args, "cache", None)),
            ("optim.precision", getattr(args, "precision", None)),
        )
        if value is not None
    ]
    packaged = recipes_folder() / f"{args.recipe}.toml"
    recipe = load_recipe(packaged if packaged.is_file() else Path(args.recipe), (*own, *args.set, *changes))
    if faces and recipe.data.train != (str(faces),):
        raise InputError("--faces is what is trained on: leave out --set data.train, or --faces")
    return recipe


def _own(faces: Path | None) -> list[str]:
    """What a folder of one's own changes in a recipe, before --set. Without a folder, nothing."""
    if faces is None:
        return []
    if not faces.is_dir():
        raise InputError(f"--faces {faces}: there is no such folder; it must hold {WANTED}")
    none = [f"data.{key}=[]" for key in ("validation", "test", "anchors", "raters")]
    return [f"data.train={json.dumps([str(faces)], ensure_ascii=False)}", *none, 'data.affect=""', "data.holdout=0.15"]


def _train(args: argparse.Namespace) -> int:
    from accelerate import PartialState

    from mien_train.supervised.trainer import train

    recipe = _recipe(args)
    if not recipe.data.train:
        raise InputError(f"{args.recipe} has no training set: give --faces FOLDER, or sets in data.train")
    if args.command == "distill" and not recipe.distill.teacher:
        raise InputError("distill needs a teacher: --teacher PATH, or distill.teacher in the recipe")
    args.checkpoint = train(recipe, args.data, args.out, resume=args.resume, threads=args.threads)
    return _finish(args) if PartialState().is_main_process else 0


def _finish(args: argparse.Namespace) -> int:
    from mien_train.evaluation.plots import plot_evaluation
    from mien_train.evaluation.report import lines
    from mien_train.finish import finish
    from mien_train.models.checkpoints import COMPOUNDS_KEY, load_checkpoint

    if COMPOUNDS_KEY in load_checkpoint(args.checkpoint):
        return finish_compounds(args)
    evaluation = finish(args.checkpoint, args.data, tuple(args.set) if args.command == "finish" else ())
    print("\n".join(lines(evaluation.figures)))
    picture = args.checkpoint.with_suffix(".png")
    if plot_evaluation(evaluation, picture, load_checkpoint(args.checkpoint).get("history")):
        print(f"wrote {picture}")
    print(f"{args.checkpoint} is ready; pack it with: fer-export {args.checkpoint} -o DIR")
    return 0


def _ablate(args: argparse.Namespace) -> int:
    from mien_train.supervised.ablate import ARMS, ablate, as_markdown

    if args.seeds < 1:
        raise InputError("--seeds must be 1 or more")
    recipe = _recipe(args)
    table = ablate(recipe, args.data, args.out, args.seeds, tuple(args.arms or ARMS))
    report = {"command": _command(), "recipe": recipe.to_dict(), "seeds": args.seeds, "figures": table}
    (args.out / "ablation.json").write_text(json.dumps(report, indent=2) + "\n")
    (args.out / "ablation.md").write_text(as_markdown(table))
    print(as_markdown(table) + f"wrote {args.out / 'ablation.json'} and ablation.md")
    return 0


def _semi(args: argparse.Namespace) -> int:
    args.checkpoint = pretrain(args, _recipe(args))
    return _finish(args)


def _semi_compare(args: argparse.Namespace) -> int:
    return compare(args, _recipe(args), _command())


def _cache(args: argparse.Namespace) -> int:
    from mien_train.data.sets import load_with_landmarks
    from mien_train.teachers import load_teacher
    from mien_train.teachers.cache import write_cache

    teacher = load_teacher(args.teacher)
    for name in args.sets:
        print(write_cache(teacher, load_with_landmarks(name, args.data), args.out, args.precision))
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from mien_train.evaluation.evaluate import evaluate
    from mien_train.evaluation.plots import plot_evaluation
    from mien_train.evaluation.report import lines

    evaluation = evaluate(args.source, args.data, tuple(args.sets))
    print("\n".join(lines(evaluation.figures)))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        _write(args.out / "evaluation.json", evaluation.figures)
        if plot_evaluation(evaluation, args.out / "evaluation.png"):
            print(f"wrote {args.out / 'evaluation.png'}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from mien_train.evaluation.evaluate import compare
    from mien_train.evaluation.report import comparison

    figures = compare(args.source, args.second, args.data, tuple(args.sets))
    print("\n".join(comparison(figures)))
    if args.out:
        _write(args.out, figures)
    return 0


def _write(path: Path, figures: dict[str, Any]) -> None:
    path.write_text(json.dumps({"command": _command(), "figures": figures}, indent=2) + "\n")
    print(f"wrote {path}")


def _command() -> str:
    return " ".join(["fer-train", *sys.argv[1:]])


def main() -> None:
    # Before torch is loaded. Threads that spin while they wait made training six times slower beside a busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.filterwarnings("ignore", r"`torch\.jit\.", FutureWarning)  # of libraries: users can do nothing about it
    open_streams()
    code = 2
    try:
        sys.exit(run(parse_args()))
    except (MienError, OSError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    except ImportError as error:
        text = f'{error.name} is missing; run: pip install "mien[cpu,train]"'
    except KeyboardInterrupt:
        text, code = "stopped; go on with --resume", 130
    print(f"fer-train: {text}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
