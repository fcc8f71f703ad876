"""What ``fer-train run`` loses to reading, cutting and augmenting: its rate over that of forward and backward alone.

    python -m benchmarks.speed.training labels-s --data FACES --threads 2

Both train the recipe's network in turns of a few steps in one process: the loop on batches of its loader, and the same
step on one batch that is there already. Writes ``benchmarks/results/training_speed.json``.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator
from functools import partial
from itertools import islice, repeat

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as fer-train does, before torch is loaded

import torch

from benchmarks.common import add_data, add_out, command_parser, heading, in_turn, write_report
from mien_train.data.batches import Sample, TrainingFaces
from mien_train.data.sets import load_sets
from mien_train.loop.loader import seeded_loader
from mien_train.models.start import start_student
from mien_train.recipe import load_recipe, recipes_folder
from mien_train.supervised.objective import Objective

WARM_UP = 3


def main() -> None:
    parser = command_parser("speed.training", __doc__)
    parser.add_argument("recipe", nargs="?", default="labels-s", help="a packaged recipe (default: labels-s)")
    add_data(parser)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6, help="of a turn")
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16")
    add_out(parser, "training_speed.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = load_recipe(recipes_folder() / f"{args.recipe}.toml")
    training, _ = load_sets(recipe, args.data)
    student, _ = start_student(recipe, training)
    student.to(memory_format=torch.channels_last).train()
    objective = Objective(recipe, student.expression.in_features)
    optimizer = torch.optim.AdamW((p for p in student.parameters() if p.requires_grad), lr=1e-5)
    data = TrainingFaces(training, recipe.crop, recipe.augment, recipe.optim.smoothing)
    count = args.turns * args.steps + WARM_UP + 1
    weights = data.draw_weights(recipe.optim.balance)
    loader = iter(seeded_loader(data, weights, recipe.optim.batch, recipe.seed, 0, count))
    there = next(loader)

    def step(batch: Sample) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            losses = objective(student(batch.crop), batch)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()

    def steps(batches: Iterator[Sample]) -> None:
        for batch in islice(batches, args.steps):
            step(batch)

    for batch in islice(loader, WARM_UP):
        step(batch)
    works = {"loop": partial(steps, loader), "alone": partial(steps, repeat(there))}
    taken = in_turn(works, args.turns, warm_up=0)
    images = args.steps * recipe.optim.batch
    turns = [(images / loop, images / alone) for loop, alone in zip(*taken.values(), strict=True)]
    report = {
        **heading(f"{parser.prog} {args.recipe} --data FACES --threads {args.threads}", "torch"),
        "threads": args.threads,
        "precision": args.precision,
        "images a second, the loop": round(statistics.median(loop for loop, _ in turns), 1),
        "images a second, forward and backward alone": round(statistics.median(alone for _, alone in turns), 1),
        "ratio, median of turns": round(statistics.median(loop / alone for loop, alone in turns), 3),
    }
    print(json.dumps(report, indent=2))
    write_report(args.out, report)


if __name__ == "__main__":
    main()
