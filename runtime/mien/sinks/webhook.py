"""Changes of faces as events that are posted to a web address."""

from __future__ import annotations

import json
import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence

from mien.sinks.events import Changes, event, timestamp
from mien.sinks.outbox import LIMIT_BYTES, Message, Outbox
from mien.sinks.webhook_request import TIMEOUT_S, Failed, Receiver, Refused, Unreachable, parse_receiver, post
from mien.types import Face, Frame

PAUSES_S = (0.5, 30.0)
"""The first pause before an event is sent again, and the longest. Each is up to half shorter, at random."""
GIVE_UP_S = 600.0
"""An event that could not be delivered for so long is dropped."""
FLUSH_S = 5.0
"""How long the end waits until the events are out."""
WAKE_S = 0.2

log = logging.getLogger(__name__)


class Webhook:
    """A sink that posts a JSON object whenever a face arrives, leaves or changes its expression.

    ``write`` only adds to a queue of ``limit_bytes``, and takes microseconds; a thread sends, one event after the
    other. What fails is sent again, with growing pauses, for up to GIVE_UP_S; what the receiver refuses is not. If the
    queue is full, the oldest events are dropped. ``sent`` and ``lost`` count them. All carry an id by which a receiver
    knows one that came twice.
    """

    def __init__(
        self,
        url: str | Receiver,
        labels: Sequence[str],
        *,
        on_change: bool = True,
        timeout_s: float = TIMEOUT_S,
        limit_bytes: int = LIMIT_BYTES,
        environment: Mapping[str, str] = os.environ,
    ):
        """Post an event of the type ``start``, to see whether the receiver is there and takes it.

        Args:
            url: ``http(s)://[user:password@]host[:port]/path``.
            labels: Classes of the model, which the receiver is told.
            on_change: Post only frames that change something; otherwise all.
            timeout_s: Of each attempt.
            limit_bytes: Of the events that wait.
            environment: Where MIEN_WEBHOOK_TOKEN and MIEN_WEBHOOK_SECRET are looked for.

        Raises:
            InputError: For an address, token or key that cannot be used.
            OutputError: If the receiver cannot be reached, or refuses the event.
        """
        self._receiver = url if isinstance(url, Receiver) else parse_receiver(url, environment)
        self._changes = Changes() if on_change else None
        self._timeout_s = timeout_s
        self._outbox = Outbox(limit_bytes)
        self._failures, self._warned = 0, ""
        self._hurry, self._stop = threading.Event(), threading.Event()
        first = self._message({"type": "start", "labels": list(labels)})
        try:
            post(self._receiver, first.to, first.body, timeout_s)
            self._outbox.count_sent()
        except (Refused, Unreachable):
            raise
        except Failed:  # it is there, and may soon be well
            self._outbox.put(first)
        self._thread = threading.Thread(target=self._run, name="mien-webhook", daemon=True)
        self._thread.start()

    @property
    def sent(self) -> int:
        """Events that the receiver accepted."""
        return self._outbox.sent

    @property
    def lost(self) -> int:
        """Events that were refused, given up, or dropped because the queue was full."""
        return self._outbox.lost

    @property
    def shown(self) -> str:
        """Scheme, host and port of the receiver."""
        return self._receiver.shown

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        """Post a frame, unless it changes nothing. Never waits, never fails."""
        if self._hurry.is_set():
            return
        changes = self._changes.of(frame, faces) if self._changes else {}
        if changes is not None:
            kind = "change" if self._changes else "frame"
            self._outbox.put(self._message({"type": kind, **event(frame, faces), **changes}))

    def close(self) -> None:
        """Post an event of the type ``end``, and wait up to FLUSH_S until all events are out. May be called twice."""
        if self._hurry.is_set():
            return
        self._outbox.put(self._message({"type": "end"}))
        self._hurry.set()
        with self._outbox.changed:
            self._outbox.changed.wait_for(lambda: not len(self._outbox), FLUSH_S)
        self._stop.set()
        self._thread.join(2 * WAKE_S)  # one that hangs in a request is left
        self._outbox.clear()
        if lost := self._outbox.lost:
            log.warning("%d events did not reach the webhook at %s", lost, self.shown)

    @staticmethod
    def _message(content: dict[str, object]) -> Message:
        kind = content.pop("type")
        body = json.dumps({"type": kind, "timestamp": timestamp(), **content}).encode()
        return Message(f"msg_{secrets.token_hex(12)}", body, time.monotonic())

    def _run(self) -> None:
        while not self._stop.is_set():
            if message := self._outbox.take(WAKE_S):
                self._deliver(message)

    def _deliver(self, message: Message) -> None:
        """Send an event until it arrives, is refused, or is too old."""
        while not self._stop.is_set():
            pause_s = 0.0
            try:
                post(self._receiver, message.to, message.body, self._timeout_s)
                self._failures, self._warned = 0, ""
                self._outbox.count_sent()
            except Refused as error:
                self._warn(f"{error}; the event is not sent again")
                self._outbox.count_lost()
            except Failed as error:
                self._failures += 1
                pause_s = max(error.after_s, _pause_s(self._failures))
                self._warn(f"{error}; events wait for up to {GIVE_UP_S:g} s")
            if pause_s and time.monotonic() + pause_s - message.made > GIVE_UP_S:
                pause_s = 0.0
                self._outbox.count_lost()
            if not pause_s:
                self._outbox.done()
                return
            # At the end there is no time for long pauses.
            if self._hurry.wait(pause_s):
                self._stop.wait(min(pause_s, PAUSES_S[0]))

    def _warn(self, text: str) -> None:
        """Say something once, until an event arrives."""
        if text != self._warned:
            self._warned = text
            log.warning("%s", text)


def _pause_s(failures: int) -> float:
    """The pause after a number of failures in a row. Chance keeps many senders from coming back at once."""
    shortest, longest = PAUSES_S
    return random.uniform(0.5, 1.0) * min(longest, shortest * 2.0 ** min(failures - 1, 30))
