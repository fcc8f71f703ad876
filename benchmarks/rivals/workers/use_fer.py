from fer.fer import FER
from loop import serve

detector = FER()


def read(picture):
    faces = detector.detect_emotions(picture)
    boxes = [tuple(int(v) for v in face["box"]) for face in faces]
    return [((x, y, x + w, y + h), face["emotions"]) for (x, y, w, h), face in zip(boxes, faces, strict=True)]


serve(read)
