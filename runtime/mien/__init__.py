"""mien reads facial expression in real time on small machines: eight expressions, valence and arousal.

from mien import Recognizer
faces = Recognizer().predict(frame)     # uint8 BGR (H, W, 3) -> list[Face]
"""

import os as _os
from typing import TYPE_CHECKING as _TYPE_CHECKING

# ONNX Runtime 1.29 and later send usage data to Microsoft unless told not to, which only helps before it is imported.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from mien.errors import (
    EngineUnavailable,
    EnrolmentRefused,
    InputError,
    LibraryBroken,
    MienError,
    ModelInvalid,
    ModelNotFound,
    OutputError,
    SourceError,
)

if _TYPE_CHECKING:
    from mien.recognizer import Recognizer
    from mien.streams import run_streams
    from mien.types import Affect, Expression, Face

__all__ = [
    "Affect",
    "EngineUnavailable",
    "EnrolmentRefused",
    "Expression",
    "Face",
    "InputError",
    "LibraryBroken",
    "MienError",
    "ModelInvalid",
    "ModelNotFound",
    "OutputError",
    "Recognizer",
    "SourceError",
    "run_streams",
]


def __getattr__(name: str) -> object:
    """What is imported when it is asked for: fer-doctor has to start where OpenCV is broken, and programs heed Ctrl-C
    only once they run."""
    value: object
    if name in ("Recognizer", "run_streams"):
        from importlib import import_module

        from mien.packages import check_opencv

        check_opencv()
        value = getattr(import_module("mien.recognizer" if name == "Recognizer" else "mien.streams"), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("mien")
    elif name in ("Affect", "Expression", "Face"):
        from mien import types as faces

        value = getattr(faces, name)
    else:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    globals()[name] = value
    return value
