"""What a video shows when it is played."""

from __future__ import annotations

from pathlib import Path

import cv2


def played(path: Path) -> list[float]:
    """The times in s of the frames that can be decoded."""
    capture, times = cv2.VideoCapture(str(path)), []
    while capture.read()[0]:
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return times
