"""Which programs are run, how each is installed and what it calls the expressions; and which are not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.common import ROOT

OURS = "mien"


@dataclass(frozen=True)
class Rival:
    """``installs``: what pip or npm gets, in this order; pip takes those after ``--no-deps`` without what they ask for.
    ``worker``: file in ``workers/`` that feeds it. ``names``: what it calls our expressions. ``how``: how it is used,
    for the report. ``options``: more of the worker's environment variables."""

    kind: Literal["pip", "npm"]
    installs: tuple[str, ...]
    worker: str
    names: Mapping[str, str]
    how: str
    options: Mapping[str, str] = field(default_factory=dict)


FER2013 = {
    "neutral": "neutral", "happiness": "happy", "sadness": "sad", "surprise": "surprise", "fear": "fear",
    "disgust": "disgust", "anger": "angry",
}  # fmt: skip
INSTALLED = (f"{ROOT}[cpu]",)
WASM = "@tensorflow/tfjs-backend-wasm"
RIVALS = {
    OURS: Rival("pip", INSTALLED, "use_mien.py", {}, "Recognizer().predict, as it chooses its engine here"),
    "@vladmandic/face-api": Rival(
        "npm",
        ("@vladmandic/face-api@1.7.15", "@tensorflow/tfjs@4.22.0", f"{WASM}@4.22.0"),
        "use_face_api.js",
        FER2013 | {"surprise": "surprised", "fear": "fearful", "disgust": "disgusted"},
        "its build for Node and WASM; detectAllFaces (SSD MobileNet) with landmarks and expressions",
    ),
    "@vladmandic/human": Rival(
        "npm",
        ("@vladmandic/human@3.3.6", "@tensorflow/tfjs@4.22.0", f"{WASM}@4.22.0"),
        "use_human.js",
        FER2013,
        "its build for Node and WASM; detect with emotion and mesh; iris, description, body, hands and caches off",
    ),
    "fer": Rival(
        "pip",
        (
            "tensorflow-cpu",
            "opencv-contrib-python-headless<5",
            "matplotlib",
            "pandas",
            "requests",
            "tqdm",
            "moviepy<2",
            "ffmpeg-python",
            "Pillow",
            "setuptools<81",
            "--no-deps",
            "fer==25.10.3",
        ),
        "use_fer.py",
        FER2013,
        "FER().detect_emotions with its defaults (Haar cascade, TFLite); OpenCV 4, as 5 lacks the cascade",
    ),
    "facex": Rival(
        "pip",
        ("tensorflow-cpu", "opencv-contrib-python-headless<5", "scikit-image", "--no-deps", "facex==1.1.0"),
        "use_facex.py",
        FER2013 | {"sadness": "sadness", "surprise": "surprised", "anger": "anger"},
        "PoolManager(pool_size=1).predict (Haar cascade, TFLite)",
    ),
}

FORMS = {
    f"{OURS}, {model}, {precision}": Rival(
        "pip",
        INSTALLED,
        "use_mien.py",
        {expression: expression for expression in FER2013},
        f"Recognizer(model={model!r}, precision={precision!r}).predict",
        {"RIVAL_MODEL": model, "RIVAL_PRECISION": precision},
    )
    for model in ("default", "xs")
    for precision in ("fp32", "int8")
}
"""Ours at every size and precision, judged over the seven classes that the others know."""
RIVALS |= FORMS
ELSEWHERE = "loads its weights at first use from {}, which the package does not hold"
LEFT_OUT = {
    "deepface": ELSEWHERE.format("GitHub"),
    "hsemotion-onnx": ELSEWHERE.format("GitHub"),
    "hsemotion": ELSEWHERE.format("GitHub"),
    "emotiefflib": ELSEWHERE.format("GitHub"),
    "rmn": ELSEWHERE.format("GitHub"),
    "py-feat": ELSEWHERE.format("Hugging Face"),
    "libreface": ELSEWHERE.format("Google Drive"),
    "facetorch": ELSEWHERE.format("Hugging Face"),
    "fer-pytorch": ELSEWHERE.format("GitHub"),
    "paz": "the package of this name on PyPI holds no code",
    "mediapipe": "its models of faces are not in the package, and its blendshapes are no classes of expression",
    "face-api.js": "its package holds no weights; @vladmandic/face-api carries the same networks",
    "facial-emotion-recognition": "holds its weights, but gives back a drawn picture and no probabilities",
    "faceemotionrecognition": "holds its weights, but is a program with a window and no library",
    "@tensorflow/tfjs-node": "fetches TensorFlow's library from a storage server at installation; WASM takes its place",
}
"""Read from the packages' files and sources, in November 2026."""
