"""Each rival in an environment of its own, in a cache folder outside of the repository."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT
from benchmarks.rivals.catalog import FORMS, OURS, RIVALS, Rival
from mien.files import cache_folder

LIMIT_S = 1800


class NotHad(Exception):
    """Why a rival cannot be had here."""


@dataclass(frozen=True)
class Environment:
    """``program``: what runs the worker. ``folder``: all that was installed."""

    program: str
    folder: Path

    @property
    def megabytes(self) -> float:
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())
        return round(sum(path.stat().st_size for path in files) / 1e6, 1)


def default_cache() -> Path:
    return cache_folder() / "rivals"


def environment(name: str, cache: Path) -> Environment:
    """The environment of a rival, made if it is not there. Raises NotHad."""
    rival = RIVALS[name]
    name = OURS if name in FORMS else name  # all forms of ours come with one installation
    folder = cache / name.strip("@").replace("/", "-")
    done = folder / "installed.json"
    wanted = [*rival.installs, *([tree_state()] if name == OURS else [])]
    if not done.is_file() or json.loads(done.read_text()) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = time.monotonic()
        (_pip if rival.kind == "pip" else _npm)(rival, folder)
        print(f"installed {name} in {time.monotonic() - start:.0f} s", flush=True)
        done.write_text(json.dumps(wanted))
    program = str(folder / "bin/python") if rival.kind == "pip" else _found("node")
    return Environment(program, folder)


def tree_state() -> str:
    """Of the tree that mien is installed from: it changes without changing its name."""
    files = sorted(path for path in (ROOT / "runtime").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _pip(rival: Rival, folder: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], folder)
    pip = [str(folder / "bin/pip"), "install", "--quiet"]
    whole = list(rival.installs)
    alone: list[str] = []
    if "--no-deps" in whole:
        at = whole.index("--no-deps")
        whole, alone = whole[:at], whole[at:]
    _run([*pip, *whole], folder)
    if alone:
        _run([*pip, *alone], folder)


def _npm(rival: Rival, folder: Path) -> None:
    (folder / "package.json").write_text('{"name": "rival", "private": true}\n')
    npm = [_found("npm"), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    _run([*npm, *rival.installs], folder)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise NotHad(f"{program} is not installed")
    return path


def _run(command: list[str], folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        raise NotHad(f"{Path(command[0]).name} took more than {LIMIT_S} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise NotHad(f"{Path(command[0]).name} fails: {last}")
