"""mien reads facial expression in real time on small machines: eight expressions, valence and arousal.

from mien import Recognizer
faces = Recognizer().predict(frame)     # uint8 BGR (H, W, 3) -> list[Face]
"""

import os as _os
from importlib.metadata import version as _version
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
from mien.faces import Affect, Expression, Face

if _TYPE_CHECKING:
    from mien.recognizer import Recognizer

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
]
__version__ = _version("mien")


def __getattr__(name: str) -> object:
    """``Recognizer``, imported when asked for: fer-doctor has to start where OpenCV, which it needs, is broken."""
    if name != "Recognizer":
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    from mien.packages import check_opencv

    check_opencv()
    from mien.recognizer import Recognizer

    globals()[name] = Recognizer
    return Recognizer
