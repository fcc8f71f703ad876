"""MQTT discovery of Home Assistant: messages by which it adds a device for a source, with its sensors, by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from mien.types import UNCERTAIN

PREFIX = "homeassistant"
"""The prefix that Home Assistant listens to unless it is set otherwise."""
NOBODY = "none"
"""State of the expression while no face is in sight."""
FIRST = "value_json.faces[0]"


def discovery(
    name: str, topic: str, availability: str, labels: Sequence[str], *, affect: bool, prefix: str = PREFIX
) -> dict[str, bytes]:
    """Configurations by the topic to which they are published, retained, one for each sensor of a source.

    Args:
        name: Of the source, as people know it.
        topic: Of its state.
        availability: Topic that says ``online`` or ``offline``.
        labels: Classes of the model.
        affect: Whether the model has valence and arousal.
        prefix: Discovery prefix of Home Assistant.
    """
    # Stays the same from run to run, and differs between brokers' topics; ids allow few characters.
    device = f"mien_{sha256(topic.encode()).hexdigest()[:12]}"
    sensors: dict[str, dict[str, Any]] = {
        "faces": {
            "name": "Faces",
            "icon": "mdi:account-group",
            "state_class": "measurement",
            "value_template": "{{ value_json.faces | count }}",
        },
        "expression": {
            "name": "Expression",
            "icon": "mdi:emoticon-outline",
            "device_class": "enum",
            "options": [*labels, UNCERTAIN, NOBODY],
            "value_template": _of_first("expression", f"'{NOBODY}'"),
        },
        "confidence": {
            "name": "Confidence",
            "icon": "mdi:percent",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "value_template": f"{{{{ ({FIRST}.confidence * 100) | round(1) if value_json.faces else None }}}}",
        },
    }
    for affect_name, icon in (("valence", "mdi:emoticon-happy-outline"), ("arousal", "mdi:pulse")) if affect else ():
        sensors[affect_name] = {
            "name": affect_name.capitalize(),
            "icon": icon,
            "state_class": "measurement",
            "value_template": _of_first(affect_name, "None"),
        }
    common = {
        "state_topic": topic,
        "availability_topic": availability,
        "device": {
            "identifiers": [device],
            "name": f"mien {name}",
            "manufacturer": "mien",
            "model": "Facial expression",
            "sw_version": version("mien"),
        },
        "origin": {"name": "mien", "sw_version": version("mien")},
    }
    return {
        f"{prefix}/sensor/{device}/{sensor}/config": json.dumps(
            {"unique_id": f"{device}_{sensor}", **settings, **common}
        ).encode()
        for sensor, settings in sensors.items()
    }


def _of_first(key: str, otherwise: str) -> str:
    """A template for a value of the first face, which is the largest."""
    return f"{{{{ {FIRST}.{key} if value_json.faces else {otherwise} }}}}"
