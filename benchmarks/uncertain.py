"""What ``--min-confidence`` gives: how many test faces still get a label, and how often that is right.

    python benchmarks/uncertain.py --data FACES

Single pictures, the packaged model, one forward pass. ``promised`` is the mean probability of the labels that are left:
where the model is calibrated it equals their accuracy. Writes ``benchmarks/results/uncertain.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mien.bundle import find_bundle
from mien.engines import load_engine
from mien_export.calibration_faces import read_faces
from mien_export.proof import outputs

RESULTS = Path(__file__).parent / "results"
SETS = ("rafdb/test", "ferplus/test", "affectnet-subset/test")
BOUNDS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    bundle = find_bundle(args.model)
    engine = load_engine(bundle.model_file("fp32"), device="cpu")
    report: dict[str, object] = {"command": "python benchmarks/uncertain.py --data FACES", "model": bundle.card.name}
    for name in SETS:
        faces = read_faces([str(args.data / f"{name}-*.parquet")], bundle.card.crop, 0)
        probabilities, _ = outputs(engine, faces.crops)
        known = faces.expression >= 0
        report[name] = rows(probabilities[known], faces.expression[known])
        print(name)
        for row in report[name]:  # type: ignore[attr-defined]
            print("  " + "  ".join(f"{key} {value}" for key, value in row.items()))
    (RESULTS / "uncertain.json").write_text(json.dumps(report, indent=2) + "\n")


def rows(probabilities: np.ndarray, truth: np.ndarray) -> list[dict[str, float]]:
    """All eight classes may be given, also those that a set does not have."""
    confidence, label = probabilities.max(axis=1), probabilities.argmax(axis=1)
    made = []
    for bound in BOUNDS:
        kept = confidence >= bound
        made.append(
            {
                "min_confidence": bound,
                "labelled": round(float(kept.mean()), 3),
                "accuracy": round(float((label[kept] == truth[kept]).mean()), 3),
                "promised": round(float(confidence[kept].mean()), 3),
            }
        )
    return made


if __name__ == "__main__":
    main()
