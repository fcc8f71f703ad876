"""What predict costs beyond the two engine calls that it cannot do without.

    python -m benchmarks.speed.overhead

One 640 x 360 frame with one face. The detector's and the student's bare engine calls, on the very arrays that predict
gives them, are timed in turn with the whole of ``Recognizer.predict``; medians over all rounds.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import add_model, add_out, command_parser, heading, in_turn, write_report
from mien import Recognizer
from mien.align import crop, crop_matrix
from mien.types import Image
from mien.vision.detector import pad_to_stride


def scene() -> Image:
    """The public-domain astronaut portrait that scikit-image ships, on a 640 x 360 frame."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("run: pip install scikit-image")
    picture = cv2.imread(str(Path(spec.origin).parent / "data" / "astronaut.png"))
    frame = np.full((360, 640, 3), 90, np.uint8)
    frame[:, 140:500] = cv2.resize(picture, (360, 360), interpolation=cv2.INTER_AREA)
    return frame


def measure(recognizer: Recognizer, frame: Image, rounds: int) -> dict[str, float]:
    """Median milliseconds of each part, timed in turn."""
    (face,) = recognizer.predict(frame)
    spec = recognizer.card.crop
    searched = pad_to_stride(frame)[None]
    crops = crop(frame, crop_matrix(spec, face.box, face.landmarks), spec.size)[None]
    parts = {
        "detector engine": lambda: recognizer._detector.engine.run(searched),
        "student engine": lambda: recognizer._model.engine.run(crops),
        "predict": lambda: recognizer.predict(frame),
    }
    times = in_turn(parts, rounds)
    return {name: round(1e3 * float(np.median(values)), 3) for name, values in times.items()}


def main() -> None:
    parser = command_parser("speed.overhead", __doc__)
    parser.add_argument("--rounds", type=int, default=300)
    add_model(parser)
    add_out(parser, "overhead.json")
    args = parser.parse_args()
    report: dict[str, object] = {
        **heading(f"{parser.prog} --rounds {args.rounds}", "onnxruntime"),
    }
    for threads in (1, 2):
        recognizer = Recognizer(args.model, threads=threads)
        medians = measure(recognizer, scene(), args.rounds)
        overhead = medians["predict"] / (medians["detector engine"] + medians["student engine"]) - 1
        figures = {"engine": recognizer.engine, "median ms": medians, "overhead": round(overhead, 4)}
        report[f"threads {threads}"] = figures
        print(f"{threads} thread(s): {medians}, overhead {100 * overhead:.1f} %")
    write_report(args.out, report)


if __name__ == "__main__":
    main()
