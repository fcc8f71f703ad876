"""A live source that is stopped, closed, or left unclosed."""

from __future__ import annotations

import signal
import threading
import time
from itertools import islice

import pytest
from scripted_camera import Camera, gray

from mien.errors import InputError
from mien.sources.live import Live, Patience

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_stop_in_a_signal_handler_ends_a_wait() -> None:
    for delay in (0.01, 0.05, 0.13):
        hang = threading.Event()
        with Camera([gray(1), hang]).live(patience=Patience()) as source:
            stopped = []

            def on_alarm(*_: object, source: Live = source, stopped: list[float] = stopped) -> None:
                source.stop()
                stopped.append(time.monotonic())

            before = signal.signal(signal.SIGALRM, on_alarm)
            signal.setitimer(signal.ITIMER_REAL, delay)
            try:
                assert len(list(source)) <= 1
                assert time.monotonic() - stopped[0] < 0.6  # 0.1 on a machine that does nothing else
            finally:
                signal.signal(signal.SIGALRM, before)
                hang.set()


@pytest.mark.parametrize("script", [None, "hang"])
def test_stop_ends_the_wait_for_a_lost_camera(script: str | None) -> None:
    hang = threading.Event()
    with Camera([gray(1)], *([hang] if script else [])).live() as source:
        stopper = threading.Timer(0.2, source.stop)
        stopper.start()
        began = time.monotonic()
        assert len(list(source)) == 1
        assert 0.15 < time.monotonic() - began < 0.8
        hang.set()
        stopper.join()


def test_a_source_that_is_dropped_unclosed_ends_its_thread() -> None:
    source = Camera(map(gray, range(10_000)), pace=0.001).live()
    assert next(iter(source))
    del source  # the fixture looks for the thread


def test_closed_twice_and_iterated_twice() -> None:
    source = Camera(map(gray, range(1000)), pace=0.001).live()
    assert list(islice(source, 2))
    with pytest.raises(InputError, match="open it again"):
        next(iter(source))
    source.close()
    source.close()
