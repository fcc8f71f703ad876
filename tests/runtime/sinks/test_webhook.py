from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faces_of_streams import LABELS, tracked
from receiving_server import Receiver
from tiny_frame import frame
from waiting import PATIENCE_S, wait_for

from mien.errors import OutputError
from mien.sinks import webhook as module
from mien.sinks.webhook import Webhook

KEY = base64.b64encode(bytes(range(32))).decode()
Open = Callable[..., Webhook]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES_S", (0.02, 0.1))


@pytest.fixture
def opened() -> Iterator[Open]:
    sinks: list[Webhook] = []

    def make(receiver: Receiver, **options: Any) -> Webhook:
        sink = Webhook(receiver.url(), LABELS, environment=options.pop("environment", {}), **options)
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close()


def test_changes_are_posted_between_a_start_and_an_end(receiver: Receiver, opened: Open) -> None:
    sink = opened(receiver)
    for i in range(20):
        sink.write(frame(i), [tracked(1, "neutral" if i < 10 else "happiness")])
    sink.close()
    sink.close()
    sink.write(frame(99), [])
    assert receiver.types() == ["start", "change", "change", "end"]
    start, first, second, _ = (got.event for got in receiver.got)
    assert start["labels"] == list(LABELS)
    assert (first["frame"], first["arrived"], first["changed"], first["left"]) == (0, [1], [], [])
    assert (second["frame"], second["changed"], second["faces"][0]["expression"]) == (10, [1], "happiness")
    assert second["timestamp"].endswith("Z")
    assert receiver.got[1].headers["content-type"] == "application/json"
    assert (sink.sent, sink.lost) == (4, 0)


def test_all_frames_are_posted_on_request(receiver: Receiver, opened: Open) -> None:
    sink = opened(receiver, on_change=False)
    for i in range(5):
        sink.write(frame(i), [tracked(1)])
    sink.close()
    assert receiver.types() == ["start", *["frame"] * 5, "end"]
    assert receiver.frames() == list(range(5))


def test_a_receiver_can_check_the_signature(receiver: Receiver, opened: Open) -> None:
    standardwebhooks = pytest.importorskip("standardwebhooks")
    sink = opened(receiver, environment={"MIEN_WEBHOOK_SECRET": f"whsec_{KEY}", "MIEN_WEBHOOK_TOKEN": "s3cret"})
    sink.write(frame(0), [tracked(1)])
    sink.close()
    for got in receiver.got:
        assert standardwebhooks.Webhook(KEY).verify(got.body, got.headers) == got.event
        assert got.headers["authorization"] == "Bearer s3cret"
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 3
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(KEY).verify(receiver.got[0].body + b" ", receiver.got[0].headers)


@pytest.mark.parametrize("codes", [[500, 503], [408, 429], [502]])
def test_an_error_that_passes_is_waited_out(
    receiver: Receiver, opened: Open, codes: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    sink = opened(receiver)
    receiver.answers = list(codes)
    for i in range(3):
        sink.write(frame(i), [tracked(i)])
    wait_for(lambda: sink.sent == 4, PATIENCE_S)
    assert receiver.frames() == [0, 1, 2]
    assert receiver.asked == 4 + len(codes)
    assert sink.lost == 0
    assert f"answers {codes[0]}" in caplog.text


@pytest.mark.parametrize("code", [400, 404, 410, 307])
def test_what_is_refused_is_not_sent_again(
    receiver: Receiver, opened: Open, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    sink = opened(receiver)
    receiver.answers = [code, code]
    for i in range(4):
        sink.write(frame(i), [tracked(i)])
    sink.close()
    assert receiver.frames() == [2, 3]
    assert receiver.asked == 6
    assert (sink.sent, sink.lost) == (4, 2)
    assert caplog.text.count(f"answers {code}") == 1  # not for every event
    assert "2 events did not reach" in caplog.text


def test_a_receiver_that_hangs_holds_up_nothing(receiver: Receiver, opened: Open) -> None:
    sink = opened(receiver, timeout_s=2.0)
    receiver.answers = [0]
    for i in range(100):
        sink.write(frame(i), [tracked(i)])
    assert receiver.frames() == []  # it still hangs
    wait_for(lambda: receiver.frames() == list(range(100)), PATIENCE_S)


def test_a_receiver_that_was_gone_gets_everything_when_it_is_back(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    before = Receiver()
    sink = opened(before)
    before.close()
    for i in range(5):
        sink.write(frame(i), [tracked(i)])
    wait_for(lambda: "nothing listens there" in caplog.text, PATIENCE_S)
    after = Receiver(before.port)
    wait_for(lambda: sink.sent == 6, PATIENCE_S)
    assert after.frames() == list(range(5))
    assert len({got.headers["webhook-id"] for got in after.got}) == 5
    sink.close()
    after.close()


def test_the_pause_that_a_receiver_asks_for_is_kept(receiver: Receiver, opened: Open) -> None:
    sink = opened(receiver)
    receiver.answers, receiver.headers = [429], {"Retry-After": "1"}
    started = time.monotonic()
    sink.write(frame(0), [tracked(1)])
    wait_for(lambda: sink.sent == 2, PATIENCE_S)
    assert time.monotonic() - started > 0.9


def test_a_full_queue_drops_the_oldest_and_the_end_says_how_many(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.2)
    receiver = Receiver()
    sink = opened(receiver, limit_bytes=2000)
    receiver.close()
    for i in range(50):
        sink.write(frame(i), [tracked(i)])
    assert len(sink._outbox) < 10
    sink.close()
    assert (sink.sent, sink.lost) == (1, 51)
    assert "51 events did not reach the webhook" in caplog.text


def test_an_event_that_is_too_old_is_given_up(
    receiver: Receiver, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVE_UP_S", 0.5)
    sink = opened(receiver)
    receiver.answers = [500] * 1000
    sink.write(frame(0), [tracked(1)])
    wait_for(lambda: sink.lost == 1, PATIENCE_S)
    receiver.answers = []
    sink.write(frame(1), [tracked(2)])
    wait_for(lambda: sink.sent == 2, PATIENCE_S)
    assert receiver.frames() == [1]


def test_the_end_does_not_wait_for_long_pauses(
    receiver: Receiver, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSES_S", (30.0, 30.0))
    sink = opened(receiver)
    receiver.answers = [500]
    sink.write(frame(0), [tracked(1)])
    wait_for(lambda: receiver.asked == 2, PATIENCE_S)
    monkeypatch.setattr(module, "PAUSES_S", (0.05, 0.1))
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 20  # the pause was 30 s
    assert receiver.types() == ["start", "change", "end"]


def test_a_receiver_that_is_unwell_at_the_start_is_waited_for(receiver: Receiver, opened: Open) -> None:
    receiver.answers = [503, 503]
    opened(receiver).close()
    assert receiver.types() == ["start", "end"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (401, "set MIEN_WEBHOOK_TOKEN"),
        (403, "set MIEN_WEBHOOK_TOKEN"),
        (404, "check the path"),
        (302, "a redirect, which is not followed"),
        (0, "does not answer within 0.2 s"),
    ],
)
def test_what_cannot_work_is_told_at_the_start(receiver: Receiver, opened: Open, code: int, message: str) -> None:
    receiver.answers = [code]
    with pytest.raises(OutputError, match=message):
        opened(receiver, timeout_s=0.2)


def test_events_are_json_without_oddities(receiver: Receiver, opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    sink = opened(receiver)
    sink.write(frame(name="caf\udce9.mp4"), [tracked(1, affect=False)])
    sink.close()
    event = json.loads(receiver.got[1].body.decode("ascii"))
    assert (event["source"], event["faces"][0]["valence"]) == ("caf\\xe9.mp4", None)
    assert not caplog.records
