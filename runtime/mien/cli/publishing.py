"""Options of ``fer-run`` for other systems, which are told of faces while they are seen: MQTT and webhooks."""

from __future__ import annotations

import argparse
import os

from mien.cli.signals import aside
from mien.recognizer import Recognizer
from mien.sinks.mqtt import Mqtt
from mien.sinks.mqtt_address import parse_broker
from mien.sinks.mqtt_connection import check_paho
from mien.sinks.webhook import Webhook
from mien.sinks.webhook_request import parse_receiver


def add_publishing(parser: argparse.ArgumentParser) -> None:
    """The options ``--mqtt``, ``--webhook`` and what belongs to them."""
    group = parser.add_argument_group("whom to tell (of videos and cameras)")
    group.add_argument(
        "--mqtt",
        metavar="URL",
        help="publish each frame's faces: mqtt://[user:password@]host[:port]/topic, or mqtts:// (user and password "
        "also from MIEN_MQTT_USER and MIEN_MQTT_PASSWORD)",
    )
    group.add_argument(
        "--qos",
        type=int,
        choices=(0, 1),
        help="quality of service of MQTT; with 1 a message is sent until the broker confirms it (default: 0)",
    )
    group.add_argument(
        "--home-assistant",
        action="store_true",
        help="let Home Assistant add the sources and their sensors by itself; implies --on-change for --mqtt",
    )
    group.add_argument(
        "--webhook",
        metavar="URL",
        help="POST an event when something changes (token from MIEN_WEBHOOK_TOKEN, key that signs from "
        "MIEN_WEBHOOK_SECRET)",
    )
    group.add_argument(
        "--on-change",
        action=argparse.BooleanOptionalAction,
        help="tell only of frames in which a face arrived, left or changed its expression (default: for --webhook)",
    )


def check_publishing(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program for options that do not belong together."""
    if not args.mqtt:
        for option, given in (("--qos", args.qos is not None), ("--home-assistant", args.home_assistant)):
            if given:
                parser.error(f"{option} is for --mqtt")
    if args.on_change is not None and not (args.mqtt or args.webhook):
        parser.error("--on-change is for --mqtt and --webhook")
    if args.offline and (args.mqtt or args.webhook):
        parser.error(
            "--offline is for recorded video, --mqtt and --webhook tell what is seen now; leave one of them out"
        )


def check_addresses(args: argparse.Namespace) -> None:
    """Raise InputError for an address that cannot be used, or EngineUnavailable if a library is missing. Nothing is
    connected yet."""
    if args.mqtt:
        parse_broker(args.mqtt, os.environ)
        check_paho()
    if args.webhook:
        parse_receiver(args.webhook, os.environ)


def open_publishers(args: argparse.Namespace, recognizer: Recognizer) -> list[Mqtt | Webhook]:
    """Connect to those who are to be told. Raises OutputError for one that cannot be reached or refuses."""
    opened: list[Mqtt | Webhook] = []
    labels = recognizer.labels
    try:
        if args.mqtt:
            mqtt = aside(
                lambda: Mqtt(
                    args.mqtt,
                    labels,
                    qos=args.qos or 0,
                    on_change=args.home_assistant if args.on_change is None else args.on_change,
                    home_assistant=args.home_assistant,
                    affect=recognizer.card.has_affect,
                ),
                Mqtt.close,
            )
            opened.append(mqtt)
        if args.webhook:
            webhook = aside(lambda: Webhook(args.webhook, labels, on_change=args.on_change is not False), Webhook.close)
            opened.append(webhook)
    except BaseException:
        for sink in opened:
            sink.close()
        raise
    return opened
