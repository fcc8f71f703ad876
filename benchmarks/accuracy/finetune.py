"""What does training on with a folder of one's own faces give, and what does it cost on other faces?

    python -m benchmarks.accuracy.finetune --data FACES

The 1,000 faces of ``affectnet-va``, whose expressions the packaged student never learned, are cut in two halves, class
by class. ``fer-train run finetune`` learns from one half, as from a folder of pictures, and is compared with the
packaged student on the other half and on test sets; then the halves change places. Once with the recipe as it is, once
without its teacher. Differences are means of both halves. Writes ``benchmarks/results/finetune.json``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import TEST_SETS, add_data, add_out, command_parser, heading, write_report
from mien.types import EXPRESSIONS
from mien_train.cli import parse_args, run
from mien_train.data.datasets import FaceSet, load_faces
from mien_train.evaluation.evaluate import compare

SOURCE = "affectnet-va/train"
ARMS = {"as the recipe is": [], "without the teacher": ["--set", 'distill.teacher=""']}


def main() -> None:
    parser = command_parser("accuracy.finetune", __doc__)
    add_data(parser)
    add_out(parser, "finetune.json")
    args = parser.parse_args()
    faces = load_faces(SOURCE, args.data)
    parts = halves(faces)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for k, part in enumerate(parts):
            write_folder(faces, part, Path(name) / f"half{k}")
        for arm, options in ARMS.items():
            folds = [learned(Path(name), k, arm, options, args.data) for k in (0, 1)]
            figures[arm] = {key: both(folds, key) for key in folds[0]}
            print(arm, *(f"{key} {value['difference']:+.4f}" for key, value in figures[arm].items()), sep="  ")
    count = [len(part) for part in parts]
    write_report(args.out, {**heading(f"{parser.prog} --data FACES", "torch"), "faces": count, "figures": figures})


def halves(faces: FaceSet) -> tuple[list[int], list[int]]:
    """Rows of the labeled faces; each half has half of every class."""
    rng = np.random.default_rng(0)
    classes = [rng.permutation(np.flatnonzero(faces.expression == k)) for k in range(len(EXPRESSIONS))]
    first = [int(row) for rows in classes for row in rows[: len(rows) // 2]]
    return first, [int(row) for rows in classes for row in rows[len(rows) // 2 :]]


def write_folder(faces: FaceSet, rows: list[int], folder: Path) -> None:
    """As users have it: a folder for each class, with pictures."""
    for row in rows:
        place = folder / EXPRESSIONS[faces.expression[row]]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row}.jpg").write_bytes(faces.encoded(row))


def learned(folder: Path, half: int, arm: str, options: list[str], data: Path) -> dict[str, Any]:
    """The student of one half against the packaged one: on the other half, and on test sets."""
    out = folder / f"{arm} {half}"
    words = ["run", "finetune", "--faces", str(folder / f"half{half}"), "-o", str(out), *options]
    if run(parse_args(words)):
        raise SystemExit(f"fer-train {' '.join(words)} failed")
    other = str(folder / f"half{1 - half}")
    found = compare(out / "student.pt", "default", data, (other, *TEST_SETS, "cfee/test"))
    found.pop("mean")
    return {"the other half": found.pop(other), **found}


def both(folds: list[dict[str, Any]], key: str) -> dict[str, Any]:
    accuracies = np.mean([fold[key]["accuracies"] for fold in folds], 0)
    return {
        "accuracy": round(float(accuracies[0]), 4),
        "before": round(float(accuracies[1]), 4),
        "difference": round(float(accuracies[0] - accuracies[1]), 4),
        "intervals of the halves": [fold[key]["interval"] for fold in folds],
    }


if __name__ == "__main__":
    main()
