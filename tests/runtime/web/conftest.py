"""A live page that this machine alone reaches, one that others reach with a token, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from live_pages import TOKEN, Client

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def live() -> Iterator[Client]:
    client = Client()
    yield client
    client.page.close()


@pytest.fixture
def guarded() -> Iterator[Client]:
    client = Client("0.0.0.0:0", token=TOKEN)
    yield client
    client.page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


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
