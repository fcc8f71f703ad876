"""Runs the code blocks of one page of the documentation, one after the other."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from code_blocks import Block
from mosquitto_broker import PROGRAM as MOSQUITTO
from mosquitto_broker import Broker, free_port, login_settings, tls_settings
from waiting import wait_for

PORT = re.compile(r"(?<=[: =])(8080|8000|1883)\b")
"""Ports of the pages, in whose place free ones are taken. A clip takes the place of a camera, and mosquitto that of
brokers."""
LOGIN = ("mien", "correct-horse")
AUTHORITY = "my-authority.pem"
EVENTS_IN_NODE = "--experimental-eventsource"
"""Node.js has EventSource only so, and some versions not at all."""


class PageRun:
    """The run of a page in the current folder. ``close`` ends what its blocks left running."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._ports = {"8080": free_port(), "8000": free_port()}
        self._names: dict[str, object] = {"__name__": "docs"}  # the blocks of a page follow each other
        self._sessions: list[int] = []
        self._brokers: dict[str, Broker] = {}
        self._how: dict[str, Callable[[str], None]] = {
            "python": self._python,
            "sh": self._shell,
            "js": self._javascript,
            "text": lambda _: None,  # a drawing, or what a file holds
        }

    def run(self, block: Block) -> None:
        """Run a block, or say why not. AssertionError if a program fails; an error of Python comes out as it is."""
        if missing := self._missing(block):
            print(f"{block} did not run: {missing}")
            return
        text = PORT.sub(lambda found: str(self._ports[found[0]]), block.text).replace("--camera 0", "talk.mp4")
        for scheme, broker in self._brokers.items():
            text = text.replace(f" {scheme}://broker.local", f" {scheme}://127.0.0.1:{broker.port}")
        if block.file:
            (self._folder / block.file).write_text(text, encoding="utf-8")
        else:
            self._how[block.language](text)

    def close(self) -> None:
        for session in self._sessions:
            with suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
        for broker in self._brokers.values():
            broker.kill()

    def _missing(self, block: Block) -> str:
        if block.needs == "mosquitto":
            names = ("mosquitto_sub", "mosquitto_passwd", "openssl")
            if not (MOSQUITTO and all(map(shutil.which, names))):
                return f"mosquitto, or one of {', '.join(names)}, is not installed"
            if not self._brokers:
                self._brokers = {"mqtt": self._start_broker(""), "mqtts": self._start_broker("tls")}
                self._ports["1883"] = self._brokers["mqtt"].port
        elif block.needs:
            return f"nobody starts {block.needs}"
        if block.language == "js":
            node = shutil.which("node")
            if (
                not node
                or subprocess.run([node, EVENTS_IN_NODE, "-e", ""], capture_output=True, check=False).returncode
            ):
                return "there is no Node.js with EventSource"
        words = block.text.split()
        return next(
            (f"{name} is not installed" for name in ("curl", "openssl") if name in words and not shutil.which(name)), ""
        )

    def _start_broker(self, kind: str) -> Broker:
        """With a certificate and a login for the ``kind`` "tls"."""
        place = self._folder / f"mosquitto{kind}"
        place.mkdir()
        if not kind:
            return Broker(place)
        return Broker(place, login_settings(place, *LOGIN) + tls_settings(place, self._folder / AUTHORITY))

    def _python(self, text: str) -> None:
        exec(compile(text, "a block", "exec"), self._names)

    def _shell(self, text: str) -> None:
        self._program(["bash", "-ec", text])
        if text.rstrip().endswith("&"):
            files = [path.read_text(encoding="utf-8") for path in self._folder.glob("*.py") if path.name in text]
            for port in self._ports.values():
                if re.search(rf"\b{port}\b", " ".join([text, *files])):
                    wait_for(partial(_listens, port), 180)

    def _javascript(self, text: str) -> None:
        script = self._folder / "block.mjs"
        script.write_text(text, encoding="utf-8")
        self._program(["node", EVENTS_IN_NODE, str(script)])

    def _program(self, command: list[str]) -> None:
        with tempfile.TemporaryFile() as output:  # a pipe would wait for what goes on in the background
            done = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
            self._sessions.append(done.pid)
            code = done.wait(300)
            output.seek(0)
            printed = output.read().decode(errors="replace")
        print(printed)
        assert code == 0, f"{command}: {printed}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
