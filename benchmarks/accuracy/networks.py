"""The cards of trained checkpoints, side by side: held-out figures with their intervals, commands and origins.

    python -m benchmarks.accuracy.networks runs/labels-s runs/labels-m runs/distill-s runs/distill-m

Each argument is the folder of a run of ``fer-train run`` or ``distill`` whose recipe has the folder's name. Writes
``benchmarks/results/networks.json``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.common import add_out, command_parser, write_report
from mien_train.models.checkpoints import load_checkpoint


def main() -> None:
    parser = command_parser("accuracy.networks", __doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    add_out(parser, "networks.json")
    args = parser.parse_args()
    networks = {}
    for folder in args.runs:
        state = load_checkpoint(folder / "student.pt")
        card, recipe = state["card"], state["recipe"]
        taught = bool(recipe["distill"]["teacher"])
        command = f"fer-train {'distill --recipe ' if taught else 'run '}{folder.name} -o runs/{folder.name}"
        if recipe["optim"]["precision"] != "no":
            command += f" --precision {recipe['optim']['precision']}"
        networks[folder.name] = {
            "command": command,
            "gmac": round(card["macs"] / 1e9, 3),
            "steps": state["step"],
            "origin": card["origin"],
            "metrics": card["metrics"],
        }
        accuracies = {name: v["accuracy"] for name, v in card["metrics"].items() if "accuracy" in v}
        shown = "  ".join(f"{name} {value:.4f}" for name, value in accuracies.items())
        print(f"{folder.name}: {shown}  mean {np.mean(list(accuracies.values())):.4f}")
    made = {"note": "one run each, one seed", **networks}
    write_report(args.out, made)


if __name__ == "__main__":
    main()
