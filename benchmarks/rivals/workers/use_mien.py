import os

from loop import serve

from mien import Recognizer

threads = os.environ.get("RIVAL_THREADS")
recognizer = Recognizer(
    os.environ.get("RIVAL_MODEL", "default"),
    precision=os.environ.get("RIVAL_PRECISION", "auto"),
    threads=int(threads) if threads else None,
)
serve(lambda picture: [(face.box, face.expression.probabilities) for face in recognizer.predict(picture)])
