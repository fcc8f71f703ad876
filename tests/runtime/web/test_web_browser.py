"""The live page in a real browser: the portrait moves over the frame, and it, the camera and mien come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from live_shows import Show, moves, pixels, wait_for

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from playwright.sync_api import Page

from mien.types import Image

LIVE = "[data-state=open]:not(.nobody)"


@pytest.fixture
def show(portrait: Image) -> Iterator[Show]:
    playing = Show(portrait)
    yield playing
    playing.close()


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
