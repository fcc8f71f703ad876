"""A real mosquitto on a free port of this machine, which a test may kill, freeze and start again; and a subscriber."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE_S, wait_for

PLACES = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"
PROGRAM = shutil.which("mosquitto", path=PLACES)
needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="the broker mosquitto is not installed")
KEEPING = "persistence true\npersistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """``settings``: more lines of mosquitto's configuration. Sessions and retained messages survive a kill."""

    def __init__(self, folder: Path, settings: str = "allow_anonymous true\n"):
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""  # it would become another user, who may not read the folder
        kept = KEEPING.format(folder=folder)
        self._file.write_text(f"listener {self.port} 127.0.0.1\n{user}{kept}{settings}")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert PROGRAM
        self._process = subprocess.Popen(
            [PROGRAM, "-c", self._file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._listens, PATIENCE_S)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """It takes connections and bytes, as far as the system buffers them, and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def url(self, topic: str = "home/mien", login: str = "", scheme: str = "mqtt") -> str:
        return f"{scheme}://{login}127.0.0.1:{self.port}/{topic}"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def login_settings(folder: Path, user: str, password: str) -> str:
    """Lines of a configuration that asks for this login. Skips the test where there is no mosquitto_passwd."""
    passwords = folder / "passwords"
    _make(["mosquitto_passwd", "-b", "-c", str(passwords), user, password])
    return f"allow_anonymous false\npassword_file {passwords}\n"


def tls_settings(folder: Path, certificate: Path) -> str:
    """Lines of a configuration with TLS, for a ``certificate`` that is made here. Skips the test without openssl."""
    key = folder / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    _make([*make, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)])
    return f"certfile {certificate}\nkeyfile {key}\n"


def _make(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no broker with a login or TLS can be set up here, as {command[0]} fails: {error}")


class Subscriber:
    """Gets everything, with QoS 1, in a session that outlives the connection."""

    def __init__(self, broker: Broker, topic: str = "#", login: tuple[str, str] | None = None):
        from paho.mqtt.client import CallbackAPIVersion, Client

        self.bodies: defaultdict[str, list[bytes]] = defaultdict(list)
        self.retained: dict[str, bytes] = {}
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"test-{topic}-{id(self)}", clean_session=False)
        if login:
            self._client.username_pw_set(*login)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda client, data, message: self._got(message)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._ready.wait(PATIENCE_S)

    def _got(self, message: Any) -> None:
        self.bodies[message.topic].append(message.payload)
        if message.retain:
            self.retained[message.topic] = message.payload

    def frames(self, topic: str) -> list[int]:
        return [json.loads(body)["frame"] for body in self.bodies[topic]]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
