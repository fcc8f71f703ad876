"""How often are other programs right, whose weights come in their packages, and how often is mien on the same faces?

    python -m benchmarks.accuracy.rivals --data FACES
    python -m benchmarks.accuracy.rivals --images 300 --only fer

Each is installed in an environment of its own (``--cache``) and used as its documentation says, with its own face
detector. All get the same pictures: those of the test sets, scaled to 240 px, with a border of 30 % as detectors want
it; the face in the middle counts. Each is judged over the classes that it knows, its probabilities scaled to sum
to 1 over them, and mien beside it on the same faces with the other classes left out, as ``Recognizer(exclude=...)``
does it. Figures are over the faces that the other one found; ``of all`` counts a face that was not found as wrong.
``--images``: at most so many of each set, drawn at random with a fixed seed. ``--add`` keeps what the report holds of
other programs on the same faces. 95 % bootstrap intervals. Writes ``benchmarks/results/rivals_accuracy.json``, and with
the times of ``benchmarks.speed.rivals`` a plot of both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.accuracy.strangers import SETS
from benchmarks.common import add_data, add_out, command_parser, heading, write_report
from benchmarks.rivals.catalog import FORMS, LEFT_OUT, OURS, RIVALS
from benchmarks.rivals.environments import NotHad, default_cache, environment
from benchmarks.rivals.plot import plot_report
from benchmarks.rivals.process import Found, Running
from mien.types import EXPRESSIONS, Image
from mien_train.data.datasets import FaceSet, load_faces
from mien_train.data.landmarks import decode_image
from mien_train.evaluation.metrics import expression_metrics

SIDE_PX, BORDER = 240, 0.3
KNOWN = {name: tuple(e for e in EXPRESSIONS if not r.names or e in r.names) for name, r in RIVALS.items()}
"""The expressions that each knows, in our order."""

Rows = NDArray[np.float64]


def main() -> None:
    parser = command_parser("accuracy.rivals", __doc__)
    parser.add_argument("--only", nargs="*", choices=[name for name in RIVALS if name != OURS], default=None)
    parser.add_argument("--images", type=int, default=0, metavar="N", help="at most N of each set (0: all)")
    parser.add_argument("--add", action="store_true", help="to the report that there is")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--threads", type=int, default=None, help="of each program (default: its own choice)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of the environments")
    add_data(parser)
    add_out(parser, "rivals_accuracy.json")
    args = parser.parse_args()
    before = json.loads(args.out.read_text(encoding="utf-8")) if args.add else {"rivals": {}, "ours": {}}
    if args.add and before["images of each set"] != (args.images or "all"):
        parser.error(f"{args.out} is of {before['images of each set']} images of each set: give --images so")
    sets = {name: drawn(load_faces(name, args.data), args.images) for name in args.sets}
    names = [name for name in RIVALS if name != OURS and (not args.only or name in args.only)]
    read: dict[str, dict[str, Rows]] = {}
    left_out = dict(LEFT_OUT)
    for name in (OURS, *names):
        try:
            read[name] = probabilities(name, sets, args.cache, args.threads)
        except NotHad as error:
            if name == OURS:
                raise SystemExit(f"mien itself cannot be run: {error}") from error
            left_out[name] = str(error)
    figures = {name: judged(name, sets, read) for name in names if name in read}
    given = f" --images {args.images}" if args.images else ""
    report = {
        **heading(f"{parser.prog}{given} --data FACES"),
        "images of each set": args.images or "all",
        "rivals": before["rivals"] | {name: row for name, row in figures.items() if name not in FORMS},
        "ours": before["ours"] | {name: row for name, row in figures.items() if name in FORMS},
        "left out": left_out,
    }
    write_report(args.out, report)
    show(report)
    plot_report(args.out.parent)


def drawn(faces: FaceSet, most: int) -> FaceSet:
    """The labeled faces, at most ``most`` of them."""
    rows = np.flatnonzero(faces.expression >= 0)
    if most and most < len(rows):
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    return faces.subset(rows)


def scene(image: Image) -> Image:
    """A picture of a face, scaled and with its border repeated, so that detectors find the face in it."""
    scale, margin = SIDE_PX / max(image.shape[:2]), round(SIDE_PX * BORDER)
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    big = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return np.asarray(cv2.copyMakeBorder(big, margin, margin, margin, margin, cv2.BORDER_REPLICATE), np.uint8)


def probabilities(name: str, sets: dict[str, FaceSet], cache: Path, threads: int | None) -> dict[str, Rows]:
    """By set (N, 8), 0 for classes that the program does not know; rows of NaN where it found no face."""
    rows: dict[str, Rows] = {}
    first = np.zeros((64, 64, 3), np.uint8)
    with Running(name, environment(name, cache), first, threads) as running:
        for label, faces in sets.items():
            found = np.full((len(faces), len(EXPRESSIONS)), np.nan)
            for i in tqdm(range(len(faces)), desc=f"{name} {label}", leave=False):
                picture = scene(decode_image(faces.encoded(i)))
                one = middlemost(running.ask(picture)[0], picture)
                if one is not None:
                    found[i] = [one.scores.get(expression, 0.0) for expression in EXPRESSIONS]
            rows[label] = found
    return rows


def middlemost(faces: Sequence[Found], picture: Image) -> Found | None:
    middle = np.array([picture.shape[1], picture.shape[0]]) / 2
    return min(faces, key=lambda f: float(np.abs((np.array(f.box[:2]) + f.box[2:]) / 2 - middle).sum()), default=None)


def judged(name: str, sets: dict[str, FaceSet], read: dict[str, dict[str, Rows]]) -> dict[str, Any]:
    """A rival's figures by set, and ours on the same faces and classes."""
    known = KNOWN[name]
    places = [EXPRESSIONS.index(expression) for expression in known]
    result: dict[str, Any] = {"how": RIVALS[name].how, "classes": known, "sets": {}}
    for label, faces in sets.items():
        rows = np.flatnonzero(np.isin(faces.expression, places))
        truth = np.searchsorted(places, faces.expression[rows])
        pair = {
            "theirs": shares(read[name][label][rows][:, places]),
            "ours": shares(read[OURS][label][rows][:, places]),
        }
        found = {who: ~np.isnan(values[:, 0]) for who, values in pair.items()}
        both = found["theirs"] & found["ours"]
        figures: dict[str, Any] = {"images": len(rows)}
        for who, values in pair.items():
            right = found[who] & (np.nan_to_num(values).argmax(1) == truth)
            figures[who] = {
                "found": round(float(found[who].mean()), 4),
                "accuracy of all": round(float(right.mean()), 4),
                **(_brief(expression_metrics(values[both], truth[both], known)) if both.any() else {}),
            }
        result["sets"][label] = figures
    return result


def _brief(metrics: dict[str, Any]) -> dict[str, Any]:
    """Without recalls, which nobody compares here."""
    metrics.pop("recall")
    metrics["intervals"].pop("recall")
    return metrics


def shares(scores: Rows) -> Rows:
    """Scores (N, C) that sum to 1; alike where all are 0."""
    total = scores.sum(1, keepdims=True)
    return np.where(total == 0, 1 / scores.shape[1], scores / np.where(total == 0, 1, total))


def show(report: dict[str, Any]) -> None:
    for name, rival in (report["rivals"] | report["ours"]).items():
        for label, figures in rival["sets"].items():
            cells = "   ".join(
                f"{who} {row.get('accuracy', float('nan')):.3f} F1 {row.get('macro_f1', float('nan')):.3f} ECE "
                f"{row.get('calibration_error', float('nan')):.3f} found {row['found']:.2f}"
                for who, row in ((who, figures[who]) for who in ("theirs", "ours"))
            )
            print(f"{name:22}{label:24}{cells}")
    for name, reason in report["left out"].items():
        print(f"{name:32}left out: {reason}")


if __name__ == "__main__":
    main()
