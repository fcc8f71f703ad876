"""A broker that is killed, frozen and started again: what the quality of service promises, and what is counted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faces_of_streams import LABELS, tracked
from mosquitto_broker import Broker, Subscriber, needs_mosquitto
from tiny_frame import frame
from waiting import PATIENCE_S, wait_for

from mien.sinks import mqtt as module
from mien.sinks.mqtt import Mqtt

pytest.importorskip("paho.mqtt.enums", reason="paho-mqtt 2 is not installed")
pytestmark = needs_mosquitto
STATE = "home/mien/a-mp4"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    listening = Subscriber(broker)
    yield listening
    listening.close()


def write(sink: Mqtt, first: int, last: int) -> None:
    for i in range(first, last):
        sink.write(frame(i), [tracked(1)])


def test_with_qos_1_nothing_is_lost_when_the_broker_is_killed(
    broker: Broker, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Mqtt(broker.url(), LABELS, qos=1)
    write(sink, 0, 30)
    wait_for(lambda: len(subscriber.frames(STATE)) == 30, PATIENCE_S)
    broker.freeze()  # so that what follows is on its way, and not confirmed, when it dies
    write(sink, 30, 60)
    wait_for(lambda: sink._connection.underway == 20, PATIENCE_S)
    broker.kill()
    wait_for(lambda: not sink._connection.connected, PATIENCE_S)
    write(sink, 60, 90)
    broker.start()
    wait_for(lambda: subscriber.frames(STATE)[-1] == 89, PATIENCE_S)
    # A broker that was killed may send again what it had not yet noted as delivered; nothing new is overtaken.
    assert list(dict.fromkeys(subscriber.frames(STATE))) == list(range(90))
    sink.close()
    assert sink.lost == 0
    assert [record.message.partition(" is ")[2] for record in caplog.records] == [
        "gone; messages wait until it is back",
        "back",
    ]


def test_with_qos_0_what_is_written_while_the_broker_is_away_comes_later(
    broker: Broker, subscriber: Subscriber
) -> None:
    sink = Mqtt(broker.url(), LABELS)
    write(sink, 0, 30)
    wait_for(lambda: len(subscriber.frames(STATE)) == 30, PATIENCE_S)
    broker.kill()
    wait_for(lambda: not sink._connection.connected, PATIENCE_S)
    write(sink, 30, 60)
    broker.start()
    wait_for(lambda: subscriber.frames(STATE)[-1] == 59, PATIENCE_S)
    assert set(subscriber.frames(STATE)) == set(range(60))
    sink.close()
    assert sink.lost == 0


def test_a_broker_that_forgot_is_told_again(broker: Broker, subscriber: Subscriber, tmp_path: Path) -> None:
    sink = Mqtt(broker.url(), LABELS, home_assistant=True, on_change=True)
    write(sink, 0, 3)
    wait_for(lambda: subscriber.frames(STATE) == [0], PATIENCE_S)
    announced = {topic for topic in subscriber.bodies if topic.startswith("homeassistant/")}
    assert len(announced) == 5
    broker.kill()
    subscriber.close()
    (tmp_path / "mosquitto.db").unlink()
    broker.start()
    late = Subscriber(broker)
    wait_for(lambda: late.frames(STATE), PATIENCE_S)  # nothing changed meanwhile
    wait_for(lambda: announced <= set(late.bodies), PATIENCE_S)
    assert late.bodies["home/mien/availability"][-1] == b"online"
    sink.close()
    late.close()


def test_a_long_outage_fills_the_queue_and_is_counted(
    broker: Broker, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Mqtt(broker.url(), LABELS, qos=1, limit_bytes=20_000)
    write(sink, 0, 1)
    wait_for(lambda: sink.sent == 2, PATIENCE_S)  # with "online"
    broker.kill()
    wait_for(lambda: not sink._connection.connected, PATIENCE_S)
    write(sink, 1, 1000)
    waiting, lost = len(sink._outbox) + sink._connection.underway, sink.lost
    assert 10 < waiting < 100
    assert lost == 999 - waiting
    broker.start()
    wait_for(lambda: subscriber.frames(STATE)[-1] == 999, PATIENCE_S)
    sink.close()
    assert len(set(subscriber.frames(STATE))) == 1 + waiting
    assert set(subscriber.frames(STATE)) >= {0, *range(1001 - waiting, 1000)}
    assert f"is back; {lost} messages were lost meanwhile" in caplog.text


def test_a_frozen_broker_holds_up_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.3)
    sink = Mqtt(broker.url(), LABELS, qos=1, limit_bytes=100_000)
    broker.freeze()
    write(sink, 0, 2000)  # a wait for the broker would not end
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 8
    assert sink.lost > 1500
    assert f"{sink.lost} messages did not reach mqtt://127.0.0.1:{broker.port}" in caplog.text


def test_a_broker_that_is_away_at_the_end(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.3)
    sink = Mqtt(broker.url(), LABELS)
    wait_for(lambda: sink.sent == 1, PATIENCE_S)  # it is online
    broker.kill()
    wait_for(lambda: not sink._connection.connected, PATIENCE_S)
    write(sink, 0, 10)
    sink.close()
    assert sink.lost == 10
    assert "10 messages did not reach" in caplog.text


def test_messages_are_whole_json(broker: Broker, subscriber: Subscriber) -> None:
    sink = Mqtt(broker.url(), LABELS, qos=1)
    sink.write(frame(0), [tracked(i) for i in range(300)])  # 150 kB
    sink.close()
    wait_for(lambda: subscriber.bodies[STATE], PATIENCE_S)
    assert len(json.loads(subscriber.bodies[STATE][0])["faces"]) == 300
