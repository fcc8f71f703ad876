"""The live page in a real browser: the portrait moves over the frame, and it, the camera and mien come and go."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from playwright.sync_api import Page, sync_playwright

from mien.types import EXPRESSIONS, Affect, Expression, Face, Frame, Image
from mien.web import LivePage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")

LIVE = "[data-state=open]:not(.nobody)"
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
    """A camera that the portrait walks through, served from a thread until it is stopped."""

    def __init__(self, portrait: Image, address: str = "127.0.0.1:0", **options: Any):
        self.name, self.state, self.dropped, self.fps = "camera 0", "open", 0, 25.0
        self.nobody = False
        self._portrait = portrait[::2, ::2]
        self._stop = threading.Event()
        self.page = LivePage(address, self, engine="test/cpu", labels=EXPRESSIONS, **options)
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
            self.page.write(Frame(image, index / 25, index, self.name), [] if self.nobody else [face])
            self.page.note(0.001 * (index % 50))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def show(portrait: Image) -> Iterator[Show]:
    playing = Show(portrait)
    yield playing
    playing.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Page]]:
    """Opens the page in a window of its own, in which nothing may go wrong by itself."""
    contexts, errors = [], []

    def make(url: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(15_000)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content" in message.text else None)
        page.goto(url)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not errors


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


def changes(page: Page, selector: str) -> None:
    """The text of an element becomes another."""
    text = page.text_content(selector)
    wait_for(page, "([what, text]) => document.querySelector(what).textContent !== text", [selector, text])


@pytest.mark.parametrize(("width", "height", "phone"), [(1280, 800, False), (390, 844, True)])
def test_picture_moves_and_numbers_change(
    show: Show, visit: Callable[..., Page], width: int, height: int, phone: bool
) -> None:
    page = visit(show.page.url, viewport={"width": width, "height": height}, is_mobile=phone, has_touch=phone)
    page.wait_for_selector(LIVE)
    assert page.evaluate("document.getElementById('picture').naturalWidth") in (0, 480)
    assert moves(page)
    for selector in (".confidence", ".valence", ".arousal", ".bars li:nth-child(2) span:last-child", "#latency"):
        changes(page, selector)
    assert page.text_content(".card .id") == "7"
    assert page.text_content(".card .label") == "happiness"
    assert page.locator(".bars li").count() == 8
    assert 10 < float(page.text_content("#fps")) < 40
    assert page.text_content("#status") == "live"
    colors = page.evaluate(
        "new Set(document.getElementById('plane').getContext('2d').getImageData(0,0,300,300).data).size"
    )
    assert colors > 5  # axes, trail and dot
    wait_for(page, "document.getElementById('plane').getAttribute('aria-label').startsWith('face 7: happiness')")
    assert page.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out


def test_reload_and_two_viewers(show: Show, visit: Callable[..., Page]) -> None:
    first, second = visit(show.page.url), visit(show.page.url)
    for page in (first, second):
        page.wait_for_selector(LIVE)
        assert moves(page)
    first.reload()
    first.wait_for_selector(LIVE)
    assert moves(first)
    assert moves(second)
    second.close()
    assert moves(first)


def test_empty_room_and_lost_camera_are_shown_as_such(show: Show, visit: Callable[..., Page]) -> None:
    page = visit(show.page.url)
    page.wait_for_selector(LIVE)
    show.nobody = True
    page.wait_for_selector("[data-state=open].nobody")
    assert page.text_content("#status") == "no face in sight"
    wait_for(page, "getComputedStyle(document.getElementById('empty')).opacity === '1'")
    wait_for(page, "document.querySelectorAll('.card').length === 0")
    show.nobody = False
    page.wait_for_selector(LIVE)
    show.state = "lost"
    page.wait_for_selector("[data-state=lost]")
    assert page.text_content("#status") == "camera lost"
    wait_for(page, "getComputedStyle(document.getElementById('veil')).opacity === '1'")
    assert "Camera lost" in page.text_content("#veil")
    assert "grayscale" in page.evaluate("getComputedStyle(document.getElementById('picture')).filter")
    page.wait_for_timeout(1200)
    assert pixels(page).size  # the last picture is still there, and what was read in it
    assert page.locator(".card").count() == 1
    show.state = "open"
    page.wait_for_selector(LIVE)
    assert moves(page)


def test_mien_gone_and_back(portrait: Image, visit: Callable[..., Page]) -> None:
    show = Show(portrait)
    try:
        page = visit(show.page.url)
        page.wait_for_selector(LIVE)
        assert moves(page)
        show.close()
        page.wait_for_selector("[data-state=gone]")
        assert "Connection to mien lost" in page.text_content("#veil")
        kept = page.evaluate(
            "document.getElementById('still').getContext('2d').getImageData(0,0,480,256).data.some(v => v && v < 250)"
        )
        assert kept
        show = Show(portrait, show.page.url.removeprefix("http://").rstrip("/"))
        page.wait_for_selector(LIVE)
        assert moves(page)
    finally:
        show.close()


def test_a_token_leaves_the_address_and_stays_in_a_cookie(portrait: Image, visit: Callable[..., Page]) -> None:
    show = Show(portrait, token="correct-horse-battery")
    try:
        bare = show.page.url.partition("?")[0]
        page = visit(bare)
        assert "needs a token" in page.text_content("main")
        page.fill("#token", "wrong-token")
        page.click("button")
        page.get_by_text("wrong").wait_for()
        page.fill("#token", "correct-horse-battery")
        page.click("button")
        page.wait_for_selector(LIVE)
        assert page.url == bare
        assert page.evaluate("document.cookie") == ""
        page.reload()
        page.wait_for_selector(LIVE)
        assert moves(page)
    finally:
        show.close()
