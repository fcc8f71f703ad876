"""Messages that wait to be sent: a queue with a limit in bytes, which never lets the one who fills it wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Condition

LIMIT_BYTES = 8 * 2**20
"""About five minutes of frames with one face at 25 frames/s."""


@dataclass(frozen=True)
class Message:
    """Bytes for a receiver. ``to``: a topic, or an id; ``made``: ``time.monotonic()`` in s; ``retain``: whether a
    broker keeps it."""

    to: str
    body: bytes
    made: float
    retain: bool = False


class Outbox:
    """A queue between the thread that makes messages and the one that sends them. If it is full, the oldest messages
    are dropped and counted. ``changed`` guards it, and is notified when a message comes."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES):
        self.changed = Condition()
        self._waiting: deque[Message] = deque()
        self._limit, self._bytes = limit_bytes, 0
        self._in_hand = False
        self._lost = self._told = self._sent = 0

    def put(self, message: Message) -> None:
        """Add a message, in microseconds. One that is larger than the limit by itself is dropped, too."""
        with self.changed:
            self._waiting.append(message)
            self._bytes += len(message.body)
            while self._bytes > self._limit:
                self._bytes -= len(self._waiting.popleft().body)
                self._lost += 1
            self.changed.notify_all()

    def take(self, timeout_s: float) -> Message | None:
        """The oldest message, or None if none comes in time. It still counts as waiting until ``put_back`` or ``done``
        is called."""
        with self.changed:
            if not self._waiting:
                self.changed.wait(timeout_s)
            if not self._waiting:
                return None
            message = self._waiting.popleft()
            self._bytes -= len(message.body)
            self._in_hand = True
            return message

    def put_back(self, message: Message) -> None:
        """Return the message that ``take`` gave, to be sent before all others."""
        with self.changed:
            self._waiting.appendleft(message)
            self._bytes += len(message.body)
            self._in_hand = False

    def done(self) -> None:
        """The message that ``take`` gave is out of the sender's hands."""
        with self.changed:
            self._in_hand = False
            self.changed.notify_all()

    def clear(self) -> None:
        """Drop all messages, and count them."""
        with self.changed:
            self._lost += len(self)
            self._waiting.clear()
            self._bytes, self._in_hand = 0, False

    def count_lost(self, number: int = 1) -> None:
        with self.changed:
            self._lost += number

    def count_sent(self, number: int = 1) -> None:
        with self.changed:
            self._sent += number
            self.changed.notify_all()

    @property
    def lost(self) -> int:
        """Messages that were dropped or got lost on the way."""
        return self._lost

    @property
    def sent(self) -> int:
        """Messages that went out or, where the receiver confirms them, were confirmed."""
        return self._sent

    def lost_since(self) -> int:
        """Messages that were lost since the last call."""
        with self.changed:
            new, self._told = self._lost - self._told, self._lost
            return new

    def topics(self) -> set[str]:
        """Where the waiting messages go."""
        with self.changed:
            return {message.to for message in self._waiting}

    def __len__(self) -> int:
        return len(self._waiting) + self._in_hand
