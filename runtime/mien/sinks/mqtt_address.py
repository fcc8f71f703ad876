"""``mqtt://user:password@host:port/topic`` -> the broker and the topic, checked before anything is connected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from mien.errors import InputError
from mien.sources.privacy import Secrets, escaped

PORTS = {"mqtt": 1883, "mqtts": 8883}
USER, PASSWORD = "MIEN_MQTT_USER", "MIEN_MQTT_PASSWORD"
"""Variables of the environment that hold what the address does not say."""
LONGEST_TOPIC_BYTES = 1024
"""Far below MQTT's own limit, as the names of sources are added."""
EXAMPLE = "mqtt://broker.local/home/mien"


@dataclass(frozen=True)
class Broker:
    """A broker and a topic. ``shown``: its address without secrets and topic; ``tls``: whether to encrypt."""

    host: str
    port: int
    topic: str
    tls: bool
    user: str | None
    password: str | None = field(repr=False)
    shown: str


def parse_broker(address: str, environment: Mapping[str, str]) -> Broker:
    """Split ``mqtt://[user[:password]@]host[:port]/topic``, or ``mqtts://`` for TLS. A user and a password that it does
    not name are those of ``environment``, if there. InputError, with the remedy, for anything else."""
    shown = Secrets(address).shown
    match = re.match(r"([a-z][a-z0-9+.-]*):(?://)?", address, re.IGNORECASE)
    scheme = match[1].lower() if match else ""
    if scheme not in PORTS or "://" not in address:
        raise InputError(
            f"{shown} is not the address of an MQTT broker; it must look like {EXAMPLE} (or mqtts:// for TLS)"
        )
    try:
        parts = urlsplit(escaped(address))
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{shown} has no valid host and port; it must look like {EXAMPLE}") from error
    if not host or port == 0:
        raise InputError(f"{shown} names no {'host' if not host else 'valid port'}; it must look like {EXAMPLE}")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    user = user or environment.get(USER) or None
    password = password if password is not None else environment.get(PASSWORD) or None
    if password is not None and user is None:
        raise InputError(f"there is a password for {shown}, but no user; add it to the address, or set {USER}")
    place = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or PORTS[scheme]}"
    topic = _topic(address, parts.path, parts.query, place)
    return Broker(host, port or PORTS[scheme], topic, scheme == "mqtts", user, password, place)


def _topic(address: str, path: str, query: str, place: str) -> str:
    try:
        topic = unquote(path, errors="strict").removeprefix("/").rstrip("/")
        size = len(topic.encode())
    except UnicodeError as error:
        raise InputError(f"the topic for {place} is not UTF-8; MQTT takes nothing else") from error
    tail = address.partition("://")[2].rpartition("@")[2].partition("/")[2]
    if "#" in tail or any(sign in topic for sign in "+#"):
        raise InputError(f"the topic for {place} has a wildcard (+ or #), which only subscribers may use; leave it out")
    if query or "?" in tail:
        raise InputError(f"the topic for {place} ends at a question mark; leave it out, or write it as %3F")
    if not topic:
        raise InputError(f"the address says no topic to publish under; add one, such as {place}/home/mien")
    if topic.startswith("$"):
        raise InputError(f"topics that start with $, such as {topic}, belong to the broker; choose another")
    if "\0" in topic or size > LONGEST_TOPIC_BYTES:
        raise InputError(
            f"the topic for {place} must be at most {LONGEST_TOPIC_BYTES} bytes long, without null characters"
        )
    return topic
