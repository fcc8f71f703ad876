"""What the Python workers share: a picture for each line on stdin, its faces on stdout."""

import json
import sys
import time

import numpy as np


def serve(read):
    """``read``: uint8 BGR (H, W, 3) -> [(x1, y1, x2, y2), {name: score}] a face."""
    for line in sys.stdin:
        asked = json.loads(line)
        picture = np.fromfile(asked["file"], np.uint8).reshape(asked["height"], asked["width"], 3)
        start = time.perf_counter()
        found = read(picture)
        seconds = time.perf_counter() - start
        faces = [
            {"box": [float(v) for v in box], "scores": {name: float(value) for name, value in scores.items()}}
            for box, scores in found
        ]
        print("@@ " + json.dumps({"seconds": seconds, "faces": faces}), flush=True)
