"""What ``--min-confidence`` gives: how many test faces still get a label, and how often that is right.

    python -m benchmarks.accuracy.uncertain --data FACES

Single pictures, the packaged model, one forward pass. ``promised`` is the mean probability of the labels that are left:
where the model is calibrated it equals their accuracy. Writes ``benchmarks/results/uncertain.json``.
"""

from __future__ import annotations

from typing import Any

from benchmarks.common import TEST_SETS, add_data, add_model, add_out, command_parser, heading, write_report
from mien.bundle import find_bundle
from mien.engines import load_engine
from mien_export.calibration_faces import read_faces
from mien_export.proof import outputs
from mien_train.evaluation.metrics import kept_at

BOUNDS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def main() -> None:
    parser = command_parser("accuracy.uncertain", __doc__)
    add_data(parser)
    add_model(parser)
    add_out(parser, "uncertain.json")
    args = parser.parse_args()
    bundle = find_bundle(args.model)
    engine = load_engine(bundle.model_file("fp32"), device="cpu")
    report: dict[str, Any] = {**heading(f"{parser.prog} --data FACES", "onnxruntime"), "model": bundle.card.name}
    for name in TEST_SETS:
        faces = read_faces([str(args.data / f"{name}-*.parquet")], bundle.card.crop, 0)
        probabilities, _ = outputs(engine, faces.crops)
        known = faces.expression >= 0
        report[name] = kept_at(probabilities[known], faces.expression[known], BOUNDS)
        print(name)
        for row in report[name]:
            print("  " + "  ".join(f"{key} {value}" for key, value in row.items()))
    write_report(args.out, report)


if __name__ == "__main__":
    main()
