"""Commands, each in a process of its own: forks of a server that has imported PyTorch and its companions already.

The pages call some ninety commands, and these imports would take seconds in each. A program asks the server with
``call``, and the command runs with the program's words, folder, environment and standard streams.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

SIZE = struct.Struct("!I")
LOOK_SECONDS = 5.0
"""How often the server looks whether the test that started it is still there."""
STREAMS = (0, 1, 2)


class CommandServer:
    """``modules`` are imported beforehand. ``start`` ("module:function") is called in the process of each command with
    its words, the name of the program first."""

    def __init__(self, modules: Sequence[str], start: str):
        self.folder = tempfile.TemporaryDirectory(prefix="mien")  # the name of a socket must be short
        self.address = str(Path(self.folder.name) / "commands")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen()
            words = [sys.executable, __file__, str(listener.fileno()), start, *modules]
            paths = os.pathsep.join(path for path in sys.path if path)
            self._process = subprocess.Popen(
                words, pass_fds=[listener.fileno()], env={**os.environ, "PYTHONPATH": paths}
            )

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self.folder.cleanup()


def call(address: str, words: Sequence[str], begun: Callable[[int], None] | None = None) -> tuple[int, float]:
    """Run a command. ``begun`` is called with the number of its process. Returns the exit code, as a shell has it, and
    the processor time in s."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(address)
        request = json.dumps([list(words), os.getcwd(), dict(os.environ)]).encode()
        socket.send_fds(link, [SIZE.pack(len(request))], STREAMS)
        link.sendall(request)
        answers = link.makefile()
        number = int(answers.readline())
        if begun:
            begun(number)
        code, seconds = answers.readline().split()
        return int(code) if int(code) >= 0 else 128 - int(code), float(seconds)


def _serve(listener: socket.socket) -> list[str]:
    """Runs until the test ends. Returns the words of a command, in the process of the command."""
    test = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener.settimeout(LOOK_SECONDS)
    while os.getppid() == test:
        try:
            link = listener.accept()[0]
        except TimeoutError:
            continue
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _fork(link)
        link.close()
    os._exit(0)


def _fork(link: socket.socket) -> list[str]:
    """Here, wait for the command and tell its exit code. Returns the words of the command, in its process."""
    link.setblocking(True)
    size, streams, _, _ = socket.recv_fds(link, SIZE.size, len(STREAMS))
    with link.makefile("rb") as incoming:
        words, folder, environment = json.loads(incoming.read(SIZE.unpack(size)[0]))
    number = os.fork()
    if number:
        for stream in streams:
            os.close(stream)
        link.sendall(f"{number}\n".encode())
        _, status, used = os.wait4(number, 0)
        link.sendall(f"{os.waitstatus_to_exitcode(status)} {used.ru_utime + used.ru_stime:.2f}\n".encode())
        os._exit(0)
    link.close()
    for stream, place in zip(streams, STREAMS, strict=True):
        os.dup2(stream, place)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return list(words)


def main() -> None:
    listener, start, *modules = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for module in modules:
        import_module(module)
    words = _serve(socket.socket(fileno=int(listener)))
    module, function = start.split(":")
    getattr(import_module(module), function)(words)


if __name__ == "__main__":
    main()
