"""Enrollment of five crops, embeddings included, over one ``predict`` of the demo picture: one thread, in turns.

    python -m benchmarks.enrollment.enroll_time

As the first class, and as the fourth, when all four are fitted (the three before it are of drawn numbers). Writes
``benchmarks/results/enrol_time.json``.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from benchmarks.common import add_out, command_parser, heading, in_turn, write_report
from mien import Recognizer
from mien.enrollment.classes import Examples
from mien.sources.demo import demo_picture
from mien.sources.images import read_image

ROUNDS = 40


def main() -> None:
    parser = command_parser("enrollment.enroll_time", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    add_out(parser, "enrol_time.json")
    args = parser.parse_args()
    recognizer = Recognizer(device="cpu", precision="fp32", threads=1)
    picture = read_image(demo_picture())
    face = picture[50:190, 150:290]
    views = [cv2.warpAffine(face, cv2.getRotationMatrix2D((70, 70), 4.0 * i, 1.0), (140, 140)) for i in range(-2, 3)]
    crops = [np.asarray(cv2.convertScaleAbs(view, alpha=0.8 + 0.05 * i), np.uint8) for i, view in enumerate(views)]
    random, width, flat = np.random.default_rng(0), recognizer.card.embedding, np.full((5, 8), 0.125, np.float32)
    report: dict[str, object] = {
        **heading(parser.prog, "onnxruntime"),
        "engine": f"{recognizer.engine}, 1 thread",
    }
    for name, before in (("first class", 0), ("fourth class", 3)):
        held = {f"before {i}": Examples(random.random((5, width), np.float32), flat) for i in range(before)}
        weights = np.zeros((8 + width + 1, before), np.float32)
        start = replace(recognizer.personal, examples=held, weights=weights)

        def enroll(start: object = start) -> None:
            recognizer.personal = start  # type: ignore[assignment]
            recognizer.enroll("new", crops, max_loss=1.0)

        taken = in_turn({"predict": lambda: recognizer.predict(picture), "enroll": enroll}, args.rounds)
        times = np.array([taken["predict"], taken["enroll"]]).T
        ratios = times[:, 1] / times[:, 0]
        low, middle, high = np.percentile(ratios, (25, 50, 75)).round(2).tolist()
        predicts, enrolls = (1000 * np.median(times, axis=0)).round(1).tolist()
        report[name] = {"predict_ms": predicts, "enrol_ms": enrolls, "ratio": middle, "quartiles": [low, high]}
        print(f"{name}: predict {predicts} ms, enrollment of 5 crops {enrolls} ms: {middle} times ({low} to {high})")
    write_report(args.out, report)


if __name__ == "__main__":
    main()
