"""Which crop is best? Short equal trainings that differ in the crop alone; accuracy on validation data.

python -m benchmarks.accuracy.crop --data FACES --images 8000 --size 64
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from benchmarks.common import add_data, add_out, command_parser, heading, write_report
from mien.align import CropSpec
from mien_train.data.sets import load_sets
from mien_train.evaluation.predict import predict
from mien_train.models.checkpoints import load_student
from mien_train.recipe import Recipe
from mien_train.supervised.trainer import train

VARIANTS = {
    "box, upright, 1.0": ("box", 1.0, False),
    "box, rotated, 0.9": ("box", 0.9, True),
    "box, rotated, 1.05": ("box", 1.05, True),
    "box, rotated, 0.8": ("box", 0.8, True),
    "landmarks, rotated, 0.9": ("landmarks", 0.9, True),
}


def main() -> None:
    parser = command_parser("accuracy.crop", __doc__)
    add_data(parser)
    parser.add_argument("--images", type=int, default=8000, help="training images of each set")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/crop"), help="where the trainings lie (default: runs/crop)"
    )
    add_out(parser, "crop.json")
    args = parser.parse_args()
    results = []
    for name, (anchor, scale, rotate) in VARIANTS.items():
        recipe = Recipe(crop=CropSpec(args.size, anchor, scale, rotate))
        # Duplicates stay in: they favor no crop, and looking for them takes longer than a trial.
        data = replace(recipe.data, limit=args.images, near_duplicates=-1)
        optim = replace(recipe.optim, epochs=args.epochs)
        recipe = replace(recipe, data=data, optim=optim)
        started = time.time()
        folder = args.runs / name.replace(", ", "-")
        checkpoint = folder / "student.pt"
        if not checkpoint.exists():
            train(recipe, args.data, folder, resume=True)
        student, _, _ = load_student(checkpoint)
        _, validation = load_sets(recipe, args.data)
        scores = {item.faces.name: predict(student, item, recipe.crop, limit=2500).accuracy() for item in validation}
        row = {key: round(value, 4) for key, value in {**scores, "mean": sum(scores.values()) / len(scores)}.items()}
        results.append({"crop": name, **row})
        print(f"{name:26s} {row}  {time.time() - started:.0f} s", flush=True)
    report = {
        **heading(
            f"{parser.prog} --data FACES --images {args.images} --size {args.size} --epochs {args.epochs}", "torch"
        ),
        "results": results,
    }
    write_report(args.out, report)


if __name__ == "__main__":
    main()
