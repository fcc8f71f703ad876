"""A connection to an MQTT broker that comes back by itself. Needs the extra ``mqtt``."""

from __future__ import annotations

import logging
import ssl
import threading
from typing import TYPE_CHECKING, Any

from mien.errors import EngineUnavailable, OutputError
from mien.sinks.mqtt_address import PASSWORD, USER, Broker
from mien.sinks.outbox import Message, Outbox
from mien.sinks.unreachable import why_unreachable

if TYPE_CHECKING:
    from paho.mqtt.client import Client

TIMEOUT_S = 10.0
"""The broker must accept the first connection within this time."""
KEEPALIVE_S = 30
"""A broker from which nothing came for about this long is taken for gone."""
MOST_UNDERWAY = 20
"""Messages that may be on their way at once."""
PAUSES_S = (1, 30)
"""Shortest and longest pause before the broker is called again."""
STOP_S = 2.0
"""How long to wait for the last bytes when the connection is closed."""

log = logging.getLogger(__name__)


def check_paho() -> None:
    """EngineUnavailable if the library that speaks MQTT is missing."""
    try:
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(f'MQTT needs paho-mqtt 2 ({error}); run: pip install "mien[mqtt]"') from error


class Connection:
    """Publishes messages to a broker and counts in ``outbox`` what was sent and lost.

    ``send`` is for one thread. With QoS 1 a message that was given to ``send`` is sent again after each reconnection
    until the broker confirms it.
    """

    def __init__(self, broker: Broker, outbox: Outbox, *, qos: int, will: str):
        """Connect. ``will``: the topic under which the broker says ``offline``, retained, once the connection breaks.

        Raises OutputError if the broker cannot be reached or refuses, EngineUnavailable if paho-mqtt is missing.
        """
        check_paho()
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.connected = False
        self.times = 0
        """How often the broker has accepted a connection."""
        self._broker, self._outbox, self._qos = broker, outbox, qos
        self._answer: str | None = None
        self._underway: dict[int, int] = {}
        """QoS by id of the messages that were handed over and are not known to have arrived."""
        self._again: set[int] = set()
        """Those of an earlier connection, which paho sends again: what is newer must not overtake them."""
        self._early: set[int] = set()
        self._client = client = Client(CallbackAPIVersion.VERSION2)
        client.will_set(will, "offline", qos=1, retain=True)
        client.max_inflight_messages_set(MOST_UNDERWAY)
        client.reconnect_delay_set(*PAUSES_S)
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        client.on_connect, client.on_disconnect, client.on_publish = self._came, self._went, self._arrived
        try:
            if broker.tls:
                client.tls_set_context(ssl.create_default_context())
            client.connect_timeout = TIMEOUT_S
            client.connect(broker.host, broker.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise OutputError(
                f"cannot connect to {broker.shown}: {why_unreachable(error, broker.host, TIMEOUT_S)}"
            ) from error
        client.loop_start()
        with outbox.changed:
            outbox.changed.wait_for(lambda: self._answer is not None, TIMEOUT_S)
        if not self.connected:
            self.close()
            answer = self._answer or f"it does not answer within {TIMEOUT_S:g} s; check that it is an MQTT broker"
            raise OutputError(f"cannot connect to {broker.shown}: {answer}")

    def may_send(self) -> bool:
        """Whether the broker is there and takes more. For holders of ``outbox.changed``."""
        return self.connected and not self._again and len(self._underway) < MOST_UNDERWAY

    @property
    def underway(self) -> int:
        """Messages that the broker has not confirmed or, without QoS, that were not written to the network."""
        return len(self._underway)

    def send(self, message: Message, qos: int | None = None) -> bool:
        """Hand a message over. False if the connection has just broken, and it must be sent later."""
        qos = self._qos if qos is None else qos
        before = self.times
        # Not under the lock, which the callbacks take while they hold those of paho.
        info = self._client.publish(message.to, message.body, qos=qos, retain=message.retain)
        with self._outbox.changed:
            if info.rc != 0 and qos == 0:
                return False
            if info.mid in self._early:
                self._early.remove(info.mid)
                self._outbox.count_sent()
            elif qos == 0 and (before != self.times or not self.connected):
                self._outbox.count_lost()
            else:
                self._underway[info.mid] = qos
        return True

    def close(self, farewell: Message | None = None) -> None:
        """Send a last message, if the broker is there, and disconnect. Takes at most STOP_S seconds, as the thread of a
        connection that is stuck is left."""
        client = self._client
        if farewell and self.connected:
            client.publish(farewell.to, farewell.body, qos=1, retain=farewell.retain)
        client.on_connect = client.on_disconnect = None
        self.connected = False
        client.disconnect()
        stopping = threading.Thread(target=client.loop_stop, name="mien-mqtt-stop", daemon=True)
        stopping.start()
        stopping.join(STOP_S)

    def _came(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._outbox.changed:
            before, self._answer = self._answer, _refusal(reason, self._broker) if reason.is_failure else ""
            if not self._answer:
                self._again = set(self._underway)
                self.connected = True
                self.times += 1
            self._outbox.changed.notify_all()
        if self._answer and before is not None and before != self._answer:
            log.warning("%s refuses the connection: %s", self._broker.shown, self._answer)

    def _went(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._outbox.changed:
            if self._answer is None:
                self._answer = (
                    "it closes the connection; check the port, and that the address begins with mqtts:// only if the "
                    "broker uses TLS there"
                )
            new, self.connected = self.connected, False
            lost = [number for number, qos in self._underway.items() if qos == 0]
            for number in lost:
                del self._underway[number]
            self._outbox.count_lost(len(lost))
            self._early.clear()
            self._again.clear()
            self._outbox.changed.notify_all()
        if new:  # not under the lock: a terminal may take its time
            log.warning("%s is gone; messages wait until it is back", self._broker.shown)

    def _arrived(self, client: Client, data: Any, number: int, reason: Any, properties: Any) -> None:
        with self._outbox.changed:
            self._again.discard(number)
            if self._underway.pop(number, None) is None:
                self._early.add(number)  # before ``send`` knew the number
            else:
                self._outbox.count_sent()


def _refusal(reason: Any, broker: Broker) -> str:
    """What a broker's answer to a connection means. Brokers of MQTT 3.1.1 have few words."""
    name = str(reason)
    if name in ("Not authorized", "Bad user name or password"):
        if broker.user is None:
            return f"it wants a user and a password; add them to the address, or set {USER} and {PASSWORD}"
        return f"it refuses the user {broker.user!r} or the password; check both"
    return f"it refuses ({name}); look into its log"
