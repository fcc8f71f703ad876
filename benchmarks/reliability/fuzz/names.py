"""Files of names that few expect, and the locales and encodings of output in which they are read."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reliability.fuzz.films import Film, write
from benchmarks.reliability.fuzz.reference import check_source, film, still
from mien.paths import readable

LATIN = "en_US.ISO-8859-1"
SETTINGS: tuple[dict[str, str], ...] = (
    {"PYTHONUTF8": "1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "0"},
    {"LC_ALL": "POSIX"},
    {"LC_ALL": LATIN, "PYTHONUTF8": "0"},
    {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": LATIN, "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"},
    {"PYTHONUTF8": "1", "PYTHONIOENCODING": "shift_jis"},
)
"""Environments of the workers. All encodings of output hold ASCII, or messages could not be looked for."""
BLOCK = 250
"""Inputs in a row that share one of them."""
PARTS = (
    b"a", b"b", b" ", b"%", b"%d", b"%03d", b"%s", b"\n", b"\r", b"\t", b"-", b"--", b"--json", b"-x", b"\xe9", b"\xff",
    b"\xed\xb0\x80", "é".encode(), "e\u0301".encode(), "😀".encode(), "日本".encode(), "\u202e".encode(), b"'", b'"',
    b"\\", b"\\n", b"*", b"?", b"[", b"]", b"[a]", b"{x}", b"#", b"&", b"=", b":", b"http:", b"file:", b"rtsp:", b"@",
    b"!", b" ! ", b"|", b"concat:", b"<", b">", b"~", b"$HOME", b"`", b";", b",", b"0", b"1e9", b".", b"..",
    b"\x1b[31m", b"\x7f", b"\x01", b"\xc2\x85", b"null", b"=x",
)  # fmt: skip
CALLED = ("path", "text", "command", "command", "folder")


def setting(seed: int, index: int) -> dict[str, str]:
    """The locale of input ``index``."""
    return SETTINGS[(seed + index // BLOCK) % len(SETTINGS)]


def write_locale(folder: Path) -> None:
    """A Latin-1 locale, as few machines have one; where it cannot be made, C stands in for it."""
    folder.mkdir()
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / LATIN)]
    try:
        subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return


def native(text: str) -> str:
    """A name that is meant in UTF-8, as Python has it in this process's locale."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def call(base: Path, face: np.ndarray, folder: Path, draw: random.Random) -> tuple[str, Any]:
    """A whole picture or film under a name, in words, and what reads it: a call, or words of a command line."""
    name = os.fsdecode(_name(draw))
    moves = draw.random() < 0.4
    suffix = ".mp4" if moves else draw.choice((".png", ".jpg", ".webp", ".tiff"))
    if draw.random() < 0.9:
        name += suffix
    path = folder / name
    data = write(Film(".mp4", "libx264", "yuv420p"), face) if moves else (base / f"bgr0{suffix}").read_bytes()
    plain = folder / f"plain{suffix}"
    try:
        path.write_bytes(data)
    except OSError:  # too long, once the suffix is there
        path = folder / name[-40:].lstrip("/")
        path.write_bytes(data)
    way = draw.choice(CALLED)
    shown = f"{way} {path.name!a}"
    if way == "folder":
        return f"{shown} in {draw.choice(('.', './', str(folder)))!a}", [str(folder)]
    if way == "command":
        given = draw.choice((["--", path.name], [f"--source={path.name}"], [f"./{path.name}"], [str(path)]))
        return f"{shown} as {given!a}", given

    def check() -> bool:
        plain.write_bytes(data)
        expected = film(plain) if moves else still(data)
        assert expected
        return check_source(path if way == "path" else str(path), expected)

    return shown, check


def _name(draw: random.Random) -> bytes:
    name = b"".join(draw.choice(PARTS) for _ in range(draw.choice((1, 1, 2, 3, 5))))
    if draw.random() < 0.1:
        name *= 250 // len(name)
    name = name[:245]
    return name if name.strip(b".") else b"a" + name


def check_records(work: Path) -> str:
    """What is wrong with the records of a folder's files in ``out.jsonl``, or nothing."""
    lines = (work / "out.jsonl").read_text("utf-8").splitlines() if (work / "out.jsonl").exists() else []
    told = {Path(json.loads(line)["source"]).name for line in lines}
    names = {readable(path.name) for path in work.iterdir()} | {readable(path) for path in work.iterdir()}
    strange = {name for name in told if not any(known.endswith(name) for known in names)}
    return f"records of sources that are none: {sorted(strange)}" if strange else ""


def in_folder(folder: Path, base: Path) -> None:
    """What command lines may name: good files and bad ones, folders, links to devices, names of every kind."""
    for name in ("bgr0.png", "clip.mp4", "clip.avi"):
        shutil.copy(base / name, folder / name)
    many = folder / "many"
    many.mkdir()
    for name in ("bgr0.jpg", "grey0.png"):
        shutil.copy(base / name, many / name)
    (many / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 bad")
    (folder / "none").mkdir()
    (folder / "folder.jpg").mkdir()
    (folder / "folder.mp4").mkdir()
    (folder / "text.txt").write_text("hello\n")
    (folder / "empty.mp4").touch()
    for name in ("grüße 😀.png", "100%d.png", "new\nline.png", "a'b\"c,d.png", "[x].png", "²", "3", "\udcff.png"):
        shutil.copy(base / "bgr0.png", folder / native(name))
    shutil.copy(base / "clip.mp4", folder / "50%02d.mp4")
    links = {"full": "/dev/full", "null": "/dev/null", "zero": "/dev/zero", "loop": "loop", "gone": "no"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
        (folder / f"{name}.jpg").symlink_to(folder / name)
        (folder / f"{name}.mp4").symlink_to(folder / name)
