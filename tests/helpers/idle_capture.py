"""A capture that says it reads and writes nothing, as OpenCV does with some video."""

from __future__ import annotations

import numpy as np


class Idle:
    """Stands in for a capture that says it reads, and leaves its buffer as the allocator gave it. From ``works`` on it
    writes the number of the frame."""

    def __init__(self, works: int | None = None, frames: int = 20):
        self.works, self.frames, self.at = works, frames, -1
        self.buffer: np.ndarray | None = None

    def grab(self) -> bool:
        self.at += 1
        return self.at < self.frames

    def retrieve(self) -> tuple[bool, np.ndarray]:
        if self.buffer is None:
            self.buffer = np.empty((200, 300, 3), np.uint8)
        if self.works is not None and self.at >= self.works:
            self.buffer[:] = self.at
        return True, self.buffer.copy()

    def read(self) -> tuple[bool, np.ndarray | None]:
        return self.retrieve() if self.grab() else (False, None)

    def get(self, what: int) -> float:
        return 0.0

    def set(self, what: int, value: float) -> bool:
        self.at = int(value) - 1
        return True

    def isOpened(self) -> bool:
        return True

    def getBackendName(self) -> str:
        return "FFMPEG"

    def release(self) -> None:
        pass
