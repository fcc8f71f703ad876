from __future__ import annotations

import pytest

from mien.errors import InputError
from mien.sinks.mqtt_address import Broker, parse_broker


@pytest.mark.parametrize(
    ("address", "broker"),
    [
        ("mqtt://host/a", Broker("host", 1883, "a", False, None, None, "mqtt://host:1883")),
        ("MQTTS://host/a/b/", Broker("host", 8883, "a/b", True, None, None, "mqtts://host:8883")),
        ("mqtt://me:p%40s@[::1]:99/a%20b", Broker("::1", 99, "a b", False, "me", "p@s", "mqtt://[::1]:99")),
        ("mqtt://me:p#s@host/a", Broker("host", 1883, "a", False, "me", "p#s", "mqtt://host:1883")),
        ("mqtt://host/caf%C3%A9", Broker("host", 1883, "café", False, None, None, "mqtt://host:1883")),
    ],
)
def test_addresses(address: str, broker: Broker) -> None:
    assert parse_broker(address, {}) == broker
    assert "p@s" not in repr(broker)


def test_the_environment_says_what_the_address_does_not() -> None:
    environment = {"MIEN_MQTT_USER": "you", "MIEN_MQTT_PASSWORD": "secret"}
    for address, login in (
        ("mqtt://host/a", ("you", "secret")),
        ("mqtt://me@host/a", ("me", "secret")),
        ("mqtt://me:mine@host/a", ("me", "mine")),
    ):
        broker = parse_broker(address, environment)
        assert (broker.user, broker.password) == login


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ws://host/a", "is not the address of an MQTT broker"),
        ("host/a", "is not the address of an MQTT broker"),
        ("mqtt:host/a", "is not the address of an MQTT broker"),
        ("mqtt://host", "says no topic"),
        ("mqtt://host/", "says no topic"),
        ("mqtt://host/a/#", "wildcard"),
        ("mqtt://host/#", "wildcard"),
        ("mqtt://host/a/+/b", "wildcard"),
        ("mqtt://host/a%2Bb", "wildcard"),
        ("mqtt://host/%23", "wildcard"),
        ("mqtt://host/a?b=c", "question mark"),
        ("mqtt://host/$SYS/a", "belong to the broker"),
        ("mqtt://host/a%00b", "null"),
        ("mqtt://host/" + "a" * 1025, "at most 1024 bytes"),
        ("mqtt://host/a%ff", "not UTF-8"),
        ("mqtt://:1883/a", "names no host"),
        ("mqtt://host:0/a", "no valid port"),
        ("mqtt://host:1883x/a", "no valid host and port"),
        ("mqtt://host:99999/a", "no valid host and port"),
        ("mqtt://:secret@host/a", "no user"),
    ],
)
def test_what_cannot_be_used_is_refused(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        parse_broker(address, {})
    assert "secret" not in str(raised.value)
