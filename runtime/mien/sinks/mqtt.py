"""Frames and faces as messages of an MQTT broker: a retained state for each source, and availability."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence

from mien.errors import InputError
from mien.paths import readable
from mien.sinks.events import Changes, event, timestamp
from mien.sinks.home_assistant import discovery
from mien.sinks.mqtt_address import Broker, parse_broker
from mien.sinks.mqtt_connection import Connection
from mien.sinks.outbox import LIMIT_BYTES, Message, Outbox
from mien.sinks.paths import free_name
from mien.types import Face, Frame

FLUSH_S = 5.0
"""How long the end waits until the messages are out."""
WAKE_S = 0.2
"""How long the sending thread sleeps at most."""
LONGEST_NAME = 200

log = logging.getLogger(__name__)


class Mqtt:
    """A sink that publishes the state of each source under a topic of its own.

    ``TOPIC/<source>`` has the newest frame with its faces, retained. ``TOPIC/availability`` is ``online`` until the
    sink is closed or the connection breaks, then ``offline``, retained. ``write`` only adds to a queue of
    ``limit_bytes``, and takes microseconds; a thread sends. While the broker is away messages wait, and if the queue is
    full the oldest are dropped. ``sent`` and ``lost`` count them.
    """

    def __init__(
        self,
        address: str | Broker,
        labels: Sequence[str],
        *,
        qos: int = 0,
        on_change: bool = False,
        home_assistant: bool = False,
        affect: bool = True,
        limit_bytes: int = LIMIT_BYTES,
        environment: Mapping[str, str] = os.environ,
    ):
        """Connect to a broker.

        Args:
            address: ``mqtt://[user[:password]@]host[:port]/topic``, or ``mqtts://``.
            labels: Classes of the model, which Home Assistant is told.
            qos: 0, or 1 to send each message until the broker confirms it.
            on_change: Publish only frames in which a face arrived, left or changed its expression.
            home_assistant: Announce the sources and their sensors by Home Assistant's discovery.
            affect: Whether the model has valence and arousal.
            limit_bytes: Of the messages that wait.
            environment: Where MIEN_MQTT_USER and MIEN_MQTT_PASSWORD are looked for.

        Raises:
            InputError: For an address or a topic that cannot be used.
            OutputError: If the broker cannot be reached, or refuses.
            EngineUnavailable: If the extra ``mqtt`` is missing.
        """
        if qos not in (0, 1):
            raise InputError(f"the quality of service must be 0 or 1, not {qos}")
        self._broker = broker = address if isinstance(address, Broker) else parse_broker(address, environment)
        self._labels, self._affect, self._home_assistant = list(labels), affect, home_assistant
        self._changes = Changes() if on_change else None
        self._availability = f"{broker.topic}/availability"
        self._taken, self._topics = {"availability"}, dict[str, str]()
        self._announced: list[Message] = []
        self._states: dict[str, Message] = {}
        self._outbox = Outbox(limit_bytes)
        self._closing = threading.Event()
        self._connection = Connection(broker, self._outbox, qos=qos, will=self._availability)
        self._thread = threading.Thread(target=self._run, name="mien-mqtt", daemon=True)
        self._thread.start()

    @property
    def sent(self) -> int:
        """Messages that the broker confirmed or, with QoS 0, that were written to the network."""
        return self._outbox.sent

    @property
    def lost(self) -> int:
        """Messages that were dropped because the queue was full or, with QoS 0, got lost on the way."""
        return self._outbox.lost

    @property
    def shown(self) -> str:
        """The broker and the topic, without secrets."""
        return f"{self._broker.shown}/{self._broker.topic}"

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        """Publish a frame, unless it is one of those that change nothing. Never waits, never fails."""
        if self._closing.is_set():
            return
        changes = self._changes.of(frame, faces) if self._changes else {}
        if changes is None:
            return
        with self._outbox.changed:  # threads of several sources may share the sink
            topic = self._topics.get(frame.name) or self._add(frame.name)
        content = {"timestamp": timestamp(), **event(frame, faces), **changes}
        message = Message(topic, json.dumps(content).encode(), time.monotonic(), retain=True)
        with self._outbox.changed:
            self._states[topic] = message
            self._outbox.put(message)

    def close(self) -> None:
        """Wait up to FLUSH_S until all messages are out, say ``offline``, and disconnect. May be called twice."""
        if self._closing.is_set():
            return
        with self._outbox.changed:
            self._outbox.changed.wait_for(lambda: not (len(self._outbox) or self._connection.underway), FLUSH_S)
        self._closing.set()
        self._thread.join(FLUSH_S)
        self._connection.close(Message(self._availability, b"offline", time.monotonic(), retain=True))
        self._outbox.clear()
        self._outbox.count_lost(self._connection.underway)
        if lost := self._outbox.lost_since():
            log.warning("%d messages did not reach %s", lost, self._broker.shown)

    def _add(self, name: str) -> str:
        """The topic of a source that was not seen before."""
        clean = re.sub(r"[^A-Za-z0-9_-]+", "-", readable(name))[-LONGEST_NAME:].strip("-").lower() or "source"
        topic = f"{self._broker.topic}/{free_name(clean, [''], self._taken)}"
        self._topics[name] = topic
        if self._home_assistant:
            new = discovery(readable(name), topic, self._availability, self._labels, affect=self._affect)
            messages = [Message(to, body, time.monotonic(), retain=True) for to, body in new.items()]
            self._announced += messages
            for message in messages:
                self._outbox.put(message)
        return topic

    def _run(self) -> None:
        connection, outbox, greeted = self._connection, self._outbox, 0
        while not self._closing.is_set():
            with outbox.changed:
                if not outbox.changed.wait_for(connection.may_send, WAKE_S):
                    continue
                times = connection.times
            if times != greeted:
                self._greet(again=greeted > 0)
                greeted = times
            elif message := outbox.take(WAKE_S):
                if connection.send(message):
                    outbox.done()
                else:
                    outbox.put_back(message)

    def _greet(self, *, again: bool) -> None:
        """Say ``online`` and, to a broker that may have forgotten, what it kept: announcements and states."""
        messages = [Message(self._availability, b"online", time.monotonic(), retain=True)]
        if again:
            lost = self._outbox.lost_since()
            log.warning("%s is back%s", self._broker.shown, f"; {lost} messages were lost meanwhile" if lost else "")
            with self._outbox.changed:
                waiting = self._outbox.topics()
                kept = [*self._announced, *self._states.values()]
            messages += [message for message in kept if message.to not in waiting]
        for message in messages:
            self._connection.send(message, qos=1)
