"""What tests of sources share: a server, and the proof that no thread and no file stays behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
from answering_server import Server


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No thread and no file stays behind a test."""
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    yield
    until = time.monotonic() + 3
    while time.monotonic() < until and (
        set(threading.enumerate()) - threads or len(os.listdir("/proc/self/fd")) > files
    ):
        time.sleep(0.01)
    assert not set(threading.enumerate()) - threads
    assert len(os.listdir("/proc/self/fd")) <= files


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()
