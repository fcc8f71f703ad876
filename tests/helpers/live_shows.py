"""Live pages that the portrait walks through, and what a browser shows of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from live_pages import Camera

from mien.types import EXPRESSIONS, Affect, Expression, Face, Frame, Image
from mien.web import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Page

PIXELS = """() => {
  const image = document.getElementById("picture");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [48, 26];
  if (!image.naturalWidth) return [];
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, 48, 26);
  return Array.from(pen.getImageData(0, 0, 48, 26).data);
}"""


class Show:
    """A camera that the portrait walks through, served from a thread until it is stopped; or several, by ``names``."""

    def __init__(self, portrait: Image, address: str = "127.0.0.1:0", names: Sequence[str] = (), **options: Any):
        self.name, self.state, self.dropped, self.fps = "camera 0", "open", 0, 25.0
        self.nobody = False
        self._portrait = portrait[::2, ::2]
        self._stop = threading.Event()
        self.cameras = {name: Camera() for name in names}
        self.page = LivePage(address, self.cameras or self, engine="test/cpu", labels=EXPRESSIONS, **options)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        index = 0
        while not self._stop.wait(0.04):
            index += 1
            if self.state != "open":
                continue
            image = np.full((256, 480, 3), 60, dtype=np.uint8)
            left = 0 if self.nobody else (4 * index) % 220
            image[:, left : left + 256] = 60 if self.nobody else self._portrait
            happiness = 0.5 + 0.4 * np.sin(index / 8)
            shares = dict.fromkeys(EXPRESSIONS, (1 - happiness) / 7) | {"happiness": happiness}
            face = Face(
                np.array([89 + left, 31, 134 + left, 88], dtype=np.float32),
                None,
                0.9,
                Expression("happiness", happiness, shares),
                Affect(happiness, 0.3 * np.cos(index / 8)),
                np.zeros(4, dtype=np.float32),
                track_id=7,
            )
            for number, name in enumerate(self.cameras or [self.name]):
                if name in self.cameras and self.cameras[name].state != "open":
                    continue
                tinted = image if not number else np.maximum(image, np.uint8(60 + 30 * number % 190))
                self.page.write(Frame(tinted, index / 25, index, name), [] if self.nobody else [face])
                self.page.note(0.001 * (index % 50), name)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.page.close()


def wait_for(page: Page, expression: str, argument: object = None) -> None:
    """Until the JavaScript expression is true. Playwright's own way needs eval, which the page's policy forbids."""
    end = time.monotonic() + 15
    while not page.evaluate(expression, argument):
        assert time.monotonic() < end, f"waited in vain for {expression}"
        page.wait_for_timeout(30)


def pixels(page: Page) -> Image:
    return np.array(page.evaluate(PIXELS), dtype=np.uint8)


def moves(page: Page) -> bool:
    """Whether the picture changes, within some seconds where the machine is busy."""
    wait_for(page, "document.getElementById('picture').naturalWidth > 0")
    first, end = pixels(page), time.monotonic() + 8
    while time.monotonic() < end:
        page.wait_for_timeout(100)
        second = pixels(page)
        if first.size and first.size == second.size and np.abs(first.astype(int) - second).mean() > 1:
            return True
    return False
