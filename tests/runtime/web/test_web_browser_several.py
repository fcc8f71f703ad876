"""The live page of several sources in a real browser: all in small, one large, chosen by a click."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from live_shows import Show, moves, wait_for

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from playwright.sync_api import Page

from mien.types import Image

LIVE = "[data-state=open]:not(.nobody)"
NAMES = ("front", "back.door", "réception", "10.0.0.5-stream")
SHADE = """(i) => {
  const image = document.querySelectorAll(".tile img")[i];
  const canvas = document.createElement("canvas");
  if (!image.naturalWidth) return 0;
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d");
  pen.drawImage(image, image.naturalWidth - 4, 4, 1, 1, 0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data[0];
}"""


@pytest.fixture
def show(portrait: Image) -> Iterator[Show]:
    playing = Show(portrait, names=NAMES)
    yield playing
    playing.close()


@pytest.mark.parametrize(("width", "height", "phone"), [(1280, 800, False), (390, 844, True)])
def test_a_click_makes_a_source_the_large_one(
    show: Show, visit: Callable[..., Page], width: int, height: int, phone: bool
) -> None:
    page = visit(show.page.url, viewport={"width": width, "height": height}, is_mobile=phone, has_touch=phone)
    page.wait_for_selector(LIVE)
    assert page.locator(".tile .name").all_text_contents() == list(NAMES)
    assert page.text_content("#source") == "front"
    for number in range(4):  # each tile shows its own source
        wait_for(page, f"Math.abs(({SHADE})({number}) - {60 + 30 * number}) < 12")
    page.locator(".tile button").nth(2).click()
    wait_for(page, "document.getElementById('source').textContent === 'réception'")
    wait_for(page, "document.getElementById('picture').getAttribute('src').startsWith('stream/r%C3%A9ception?')")
    assert moves(page)
    assert page.locator("[aria-pressed=true] .name").text_content() == "réception"
    assert page.locator(".card").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    page.reload()
    page.wait_for_selector(LIVE)
    assert page.text_content("#source") == "réception"  # the address remembers it


def test_a_lost_source_is_marked_and_the_others_go_on(show: Show, visit: Callable[..., Page]) -> None:
    page = visit(show.page.url)
    page.wait_for_selector(LIVE)
    show.cameras["back.door"].state = "lost"
    page.wait_for_selector(".tile:nth-child(2)[data-state=lost]")
    assert page.locator(".tile .word").nth(1).text_content() == "camera lost"
    wait_for(page, "document.getElementById('status').textContent === 'live · 1 other lost'")
    assert moves(page)
    page.locator(".tile button").nth(1).click()
    page.wait_for_selector("body[data-state=lost]")
    assert page.text_content("#status") == "camera lost"
    show.cameras["back.door"].state = "open"
    page.wait_for_selector(LIVE)
    assert moves(page)
    assert page.text_content("#status") == "live"


def test_a_single_source_has_no_tiles(portrait: Image, visit: Callable[..., Page]) -> None:
    show = Show(portrait)
    try:
        page = visit(show.page.url)
        page.wait_for_selector(LIVE)
        assert page.locator("#tiles").is_hidden()
        assert page.evaluate("document.getElementById('picture').getAttribute('src')").startswith("stream?")
    finally:
        show.close()
