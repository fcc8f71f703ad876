"""A command of mien in a process of its own (command_server.py), with a clip in place of cameras."""

from __future__ import annotations

import sys
import time
from importlib import import_module

import cv2
from code_blocks import SCRIPTS
from stand_ins import CAMERA

IMPORTED = (
    "mien.cli.fer_run", "mien.cli.enroll", "mien.cli.doctor", "mien.bench", "mien_export.pack",
    "mien_export.checkpoint",
    "mien_train.supervised.trainer", "mien_train.supervised.ablate", "mien_train.finish", "mien_train.evaluation.plots",
    "mien_train.teachers.cache", "mien_train.semi.train", "mien_train.semi.compare", "mien_train.temporal.pipeline",
    "mien_train.continual.commands", "mien_train.continual.explain", "mien_train.continual.finish",
    "rough_intervals",
)  # fmt: skip
"""What the commands import when they begin to work."""
_Capture = cv2.VideoCapture


class Camera:
    """Plays the clip of this folder again and again, as fast as it was recorded."""

    def __init__(self) -> None:
        self._clip = _Capture(CAMERA)

    def read(self) -> tuple[bool, object]:
        time.sleep(1 / 25)
        read, image = self._clip.read()
        if not read:
            self._clip = _Capture(CAMERA)
            read, image = self._clip.read()
        return read, image

    def get(self, what: int) -> float:
        return 25.0 if what == cv2.CAP_PROP_FPS else 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._clip, name)


def capture(name: object = None, *more: object) -> object:
    """In place of ``cv2.VideoCapture``."""
    live = isinstance(name, int) or str(name).startswith("rtsp:")
    return Camera() if live else _Capture(name, *more)


def start(words: list[str]) -> None:
    """Run the command with these words, its name first."""
    from rough_intervals import use_rough_intervals  # imports PyTorch, which the test itself does without

    cv2.VideoCapture = capture
    use_rough_intervals()
    module, function = SCRIPTS[words[0]]
    sys.argv = words
    getattr(import_module(module), function)()
