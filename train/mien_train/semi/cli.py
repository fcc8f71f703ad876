"""The commands ``semi`` and ``semi-compare`` of fer-train."""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.engines.cores import processor
from mien.errors import InputError
from mien.files import write_whole

if TYPE_CHECKING:
    from mien_train.recipe import Recipe


def add_semi(commands: Any) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Add both parsers, without the options that they share with others. ``commands``: argparse's subparsers."""
    semi = commands.add_parser("semi", help="pretrain a student with faces that have no labels")
    semi.add_argument("--recipe", default="semi-s", help="a TOML file, or a packaged name (default: semi-s)")
    semi.add_argument("-o", "--out", type=Path, default=Path("runs/semi"), help="(default: runs/semi)")
    semi.add_argument(
        "--stop-below", type=float, default=0.0, metavar="SHARE",
        help="stop when fewer pseudo-labels than this are right, as far as hidden labels tell (default: only warn)",
    )  # fmt: skip
    semi_compare = commands.add_parser("semi-compare", help="semi with and without each of its parts, over seeds")
    semi_compare.add_argument(
        "--recipe", default="semi-compare", help="a TOML file, or a packaged name (default: semi-compare)"
    )
    semi_compare.add_argument("--seeds", type=int, default=3)
    semi_compare.add_argument("--labels", type=float, nargs="+", default=[0.1, 1.0], metavar="SHARE", help="(0.1 1)")
    semi_compare.add_argument("--arms", nargs="+", metavar="ARM", help="(default: all; a wrong one lists them)")
    semi_compare.add_argument(
        "-o", "--out", type=Path, default=Path("runs/semi-compare"),
        help="goes on where an earlier call stopped (default: runs/semi-compare)",
    )  # fmt: skip
    return semi, semi_compare


def pretrain(args: argparse.Namespace, recipe: Recipe) -> Path:
    """Train, and return the checkpoint."""
    from mien_train.semi.pools import load_sets_of, split_pools
    from mien_train.semi.train import check_recipe, train_semi

    check_recipe(recipe)  # raises before the sets are read, which takes a while
    if not 0 <= args.stop_below <= 1:
        raise InputError(f"--stop-below is a share of right pseudo-labels, 0 to 1, not {args.stop_below:g}")
    pools = split_pools(*load_sets_of(recipe, args.data), recipe)
    options = {"resume": args.resume, "threads": args.threads, "stop_below": args.stop_below}
    return train_semi(recipe, pools, args.out, **options)


def compare(args: argparse.Namespace, recipe: Recipe, command: str) -> int:
    """Writes ``semi.json``, ``semi.md`` and ``semi.png`` beside the runs."""
    from mien_train.semi.compare import ARMS, compare_arms
    from mien_train.semi.table import as_markdown, plot_arms

    if args.seeds < 1:
        raise InputError("--seeds must be 1 or more")
    arms, shares = tuple(args.arms or ARMS), tuple(dict.fromkeys(args.labels))
    rows = compare_arms(recipe, args.data, args.out, seeds=args.seeds, shares=shares, arms=arms, threads=args.threads)
    versions = {name: version(name) for name in ("mien", "torch", "timm", "numpy")}
    about = {"command": command, "machine": processor(), "versions": versions, "recipe": recipe.to_dict()}
    write_whole(args.out / "semi.json", (json.dumps({**about, "runs": rows}, indent=1) + "\n").encode())
    table = as_markdown(rows)
    (args.out / "semi.md").write_text(table)
    plot_arms(rows, args.out / "semi.png")
    print(f"{table}\nwrote {args.out / 'semi.json'}, semi.md and semi.png")
    return 0
