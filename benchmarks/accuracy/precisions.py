"""Every form of a bundle against fp32 on ONNX Runtime: what it loses on the test sets, its size and its speed.

    fer-export default -o runs/forms --half --openvino --keep-ranges
    python -m benchmarks.accuracy.precisions runs/forms --data FACES

The faces are found in each picture by ``mien.vision.detector.find_in_crop``; pictures without one are left out for all
forms alike. Times are medians of one crop, the forms in turn in this process. Writes
``benchmarks/results/precisions.json`` and a plot.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.common import TEST_SETS, add_data, add_out, command_parser, heading, write_report
from mien.bundle import find_bundle
from mien.engines import load_engine
from mien.engines.selection import take_turns
from mien_export.calibration_faces import FaceCrops, read_faces
from mien_export.proof import outputs

WAYS = (("cpu", "fp32"), ("cpu", "int8"), ("cpu", "fp16"), ("openvino", "fp32"), ("openvino", "int8"))
PARITY = 500


def main() -> None:
    parser = command_parser("accuracy.precisions", __doc__)
    parser.add_argument("bundle", help="a bundle that holds the forms (fer-export)")
    add_data(parser)
    add_out(parser, "precisions.json")
    parser.add_argument("--faces", type=int, default=1500, help="of each set, evenly spread; 0: all (default: 1500)")
    args = parser.parse_args()
    bundle = find_bundle(args.bundle)
    paths = {way: bundle.model_file(way[1], way[0]) for way in WAYS if way[1] in bundle.precisions}
    faces = {
        name: read_faces([str(args.data / f"{name}-*.parquet")], bundle.card.crop, args.faces) for name in TEST_SETS
    }
    exact = load_engine(paths[WAYS[0]], device="cpu")
    reference = {name: outputs(exact, part.crops) for name, part in faces.items()}
    rows = [row(way, path, paths[WAYS[0]], faces, reference) for way, path in paths.items()]
    crop = faces[TEST_SETS[0]].crops[:1]
    for threads in (1, 2):
        engines = {way: load_engine(path, device=way[0], threads=threads) for way, path in paths.items()}
        times = take_turns(engines, crop, blocks=40)
        for made, way in zip(rows, paths, strict=True):
            made[f"speed, {threads} threads"] = round(times[WAYS[0]] / times[way], 2)
    for made in rows:
        print("  ".join(f"{key} {value}" for key, value in made.items()))
    command = f"{parser.prog} {args.bundle} --data FACES --faces {args.faces}"
    report = {**heading(command, "onnxruntime", "openvino"), "model": bundle.card.name, "forms": rows}
    write_report(args.out, report)
    plot(rows, args.out.with_suffix(".png"))


def row(
    way: tuple[str, str], path: Path, exact: Path, faces: dict[str, FaceCrops], reference: dict[str, Any]
) -> dict[str, Any]:
    """Figures of one form: accuracy, change and agreement by set, differences on the first faces of all sets."""
    engine = load_engine(path, device=way[0])
    made: dict[str, Any] = {"form": " ".join(way), "engine": engine.name}
    sizes = [p.stat().st_size for p in (path, path.with_suffix(".bin")) if p.is_file()]
    made["size"] = round(sum(sizes) / exact.stat().st_size, 3)
    gaps = []
    for name, part in faces.items():
        (q, b), (p, a) = outputs(engine, part.crops), reference[name]
        known = part.expression >= 0
        classes = np.unique(part.expression[known])
        right = [classes[o[known][:, classes].argmax(1)] == part.expression[known] for o in (q, p)]
        made[name] = {
            "images": int(known.sum()),
            "accuracy": round(float(right[0].mean()), 4),
            "change": round(float(right[0].mean() - right[1].mean()), 4),
            "same label": round(float((p.argmax(1) == q.argmax(1)).mean()), 4),
        }
        some = slice(0, -(-PARITY // len(faces)))
        gaps.append([np.abs(p - q)[some].max(), np.abs(p - q)[some].mean(), np.abs(a - b)[some].max()])
    worst = np.array(gaps)
    made["parity"] = {
        "crops": len(faces) * -(-PARITY // len(faces)),
        "probability, largest": round(float(worst[:, 0].max()), 6),
        "probability, mean": round(float(worst[:, 1].mean()), 6),
        "affect, largest": round(float(worst[:, 2].max()), 6),
    }
    return made


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Accuracy change by set beside the speed, a group a form."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    place = np.arange(len(rows))
    for k, name in enumerate(TEST_SETS):
        left.bar(place + 0.25 * (k - 1), [100 * made[name]["change"] for made in rows], 0.25, label=name)
    left.axhline(-0.5, color="#999", linestyle=":", label="limit")
    left.set(title="accuracy against fp32, in points")
    left.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)  # below: bars may be anywhere
    for k, threads in enumerate((1, 2)):
        speeds = [made[f"speed, {threads} threads"] for made in rows]
        right.bar(place + 0.35 * (k - 0.5), speeds, 0.35, label=f"{threads} thread{'s' * (threads > 1)}")
    right.axhline(1, color="#999", linestyle=":")
    right.set(title="speed against fp32 on ONNX Runtime, one crop")
    right.legend(frameon=False)
    for axis in (left, right):
        axis.set_xticks(place, [made["form"] for made in rows], rotation=20)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
