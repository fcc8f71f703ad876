"""What does training on with a folder of one's own faces give, and what does it cost on other faces?

    python -m benchmarks.accuracy.finetune --data FACES
    python -m benchmarks.accuracy.finetune --choose 0.5 0.7 0.9 --data FACES

The 1,000 faces of ``affectnet-va``, whose expressions the packaged student never learned, are cut in two halves, class
by class. ``fer-train run finetune`` learns from one half, as from a folder of pictures, and is compared with the
packaged student on the other half and on test sets; then the halves change places. Once with the recipe as it is, once
without its teacher. Differences are means of both halves. Writes ``benchmarks/results/finetune.json``.

``--choose`` learns from the first half with several weights of the teacher instead, and judges them on validation sets
alone: the recipe has the one that gains most on AffectNet's where the others lose at most a point. Its figures join the
report.
"""

from __future__ import annotations

import json
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
VALIDATION = ("affectnet-subset/validation", "ferplus/validation", "cfee/validation")
ARMS = {"as the recipe is": [], "without the teacher": ["--set", 'distill.teacher=""']}


def main() -> None:
    parser = command_parser("accuracy.finetune", __doc__)
    parser.add_argument(
        "--choose", nargs="+", metavar="ALPHA", help="weights of the teacher to judge on validation faces"
    )
    add_data(parser)
    add_out(parser, "finetune.json")
    args = parser.parse_args()
    faces = load_faces(SOURCE, args.data)
    parts = halves(faces)
    report = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k, part in enumerate(parts):
            write_folder(faces, part, folder / f"half{k}")
        if args.choose:
            weights = {alpha: learned(folder, 0, ["--set", f"distill.alpha={alpha}"]) for alpha in args.choose}
            found = {
                alpha: differences(compare(path, "default", args.data, VALIDATION)) for alpha, path in weights.items()
            }
            report |= {"weights of the teacher": found}
        else:
            report |= heading(f"{parser.prog} --data FACES", "torch") | {"faces": [len(part) for part in parts]}
            report["figures"] = {
                arm: both([judged(folder, half, options, args.data) for half in (0, 1)])
                for arm, options in ARMS.items()
            }
    write_report(args.out, report)
    print(json.dumps(report, indent=1))


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


def learned(folder: Path, half: int, options: list[str]) -> Path:
    """The checkpoint of a student that learned from one half."""
    out = Path(tempfile.mkdtemp(dir=folder))
    words = ["run", "finetune", "--faces", str(folder / f"half{half}"), "-o", str(out), *options]
    if run(parse_args(words)):
        raise SystemExit(f"fer-train {' '.join(words)} failed")
    return out / "student.pt"


def judged(folder: Path, half: int, options: list[str], data: Path) -> dict[str, Any]:
    """The student of one half against the packaged one: on the other half, and on test sets."""
    other = str(folder / f"half{1 - half}")
    found = compare(learned(folder, half, options), "default", data, (other, *TEST_SETS, "cfee/test"))
    return {"the other half": found.pop(other), **found}


def differences(found: dict[str, Any]) -> dict[str, float]:
    return {name: round(row["difference"], 4) for name, row in found.items() if name != "mean"}


def both(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of both halves, by set."""
    figures = {}
    for name in (name for name in folds[0] if name != "mean"):
        accuracies = np.mean([fold[name]["accuracies"] for fold in folds], 0)
        figures[name] = {
            "accuracy": round(float(accuracies[0]), 4),
            "before": round(float(accuracies[1]), 4),
            "difference": round(float(accuracies[0] - accuracies[1]), 4),
            "intervals of the halves": [fold[name]["interval"] for fold in folds],
        }
    return figures


if __name__ == "__main__":
    main()
