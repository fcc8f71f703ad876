"""A live page that this machine alone reaches, and one that others reach with a token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_pages import TOKEN, Client


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
