"""Asks a Triton server for faces, holds them against ``Recognizer.predict`` here, and prints a JSON object."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import cv2
import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from mien import Recognizer


def ask(client, model, name, array, **more):
    tensor = grpc.InferInput(name, array.shape, "UINT8")
    tensor.set_data_from_numpy(array)
    return client.infer(model, [tensor], **more)


def refused(client, array):
    try:
        ask(client, "mien", "frame", array)
    except InferenceServerException as error:
        return str(error)
    return "answered"


def pictures(portrait):
    small = cv2.resize(portrait, (160, 160), interpolation=cv2.INTER_AREA)
    crowd = np.tile(small, (5, 8, 1))
    return {
        "one face": portrait,
        "a face upside down": np.hstack([portrait, cv2.rotate(portrait, cv2.ROTATE_180)]),
        "a crowd": crowd,
        "dim": (portrait // 12 + 40).astype(np.uint8),
        "no face": np.zeros((360, 640, 3), np.uint8),
    }


def compare(answer, faces, labels):
    expected = {
        "box": [face.box for face in faces],
        "landmarks": [face.landmarks for face in faces],
        "score": [face.score for face in faces],
        "expression": [[face.expression.probabilities[label] for label in labels] for face in faces],
        "affect": [(face.affect.valence, face.affect.arousal) for face in faces],
        "embedding": [face.embedding for face in faces],
    }
    told = [label.decode() for label in answer.as_numpy("label")]
    row = {"faces": len(faces), "same labels": told == [face.expression.label for face in faces]}
    if faces:
        gaps = {name: float(np.abs(answer.as_numpy(name) - np.array(value)).max()) for name, value in expected.items()}
        row["largest differences"] = gaps
    return row


def main(address, portrait):
    client, recognizer = grpc.InferenceServerClient(address), Recognizer(device="cpu", precision="fp32", threads=1)
    shown = pictures(cv2.imread(portrait))
    rows = {}
    for name, frame in shown.items():
        answer = ask(client, "mien", "frame", frame)
        rows[name] = compare(answer, recognizer.predict(frame), recognizer.card.labels)
    with ThreadPoolExecutor(8) as pool:  # several clients at a time
        crops = np.zeros((3, 112, 112, 3), np.uint8)
        jobs = [pool.submit(ask, client, "mien_student", "crops", crops) for _ in range(64)]
        many = {str(job.result().as_numpy("expression").shape) for job in jobs}
    best = ask(
        client, "mien_student", "crops", crops[:1], outputs=[grpc.InferRequestedOutput("expression", class_count=1)]
    )
    print(
        json.dumps(
            {
                "server": client.get_server_metadata(as_json=True)["version"],
                "versions there": {name: version(name) for name in ("numpy", "opencv-python-headless", "onnxruntime")},
                "models": sorted(model["name"] for model in client.get_model_repository_index(as_json=True)["models"]),
                "pictures": rows,
                "shapes of 64 requests at a time": sorted(many),
                "class by name": best.as_numpy("expression")[0, 0].decode().split(":")[-1] in recognizer.card.labels,
                "an empty frame": refused(client, np.zeros((0, 300, 3), np.uint8)),
                "a gray frame": refused(client, np.zeros((200, 300), np.uint8)),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
