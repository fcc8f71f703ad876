"""The inputs of the fuzzer: number n of a seed is always the same one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from benchmarks.reliability.fuzz import frames, names, read, stills
from benchmarks.reliability.fuzz.names import in_folder, native
from benchmarks.reliability.fuzz.spoil import CLIPS, PICTURES, SUFFIXES, read_base, spoil
from mien.recognizer import Recognizer

KINDS = ("images", "frames", "clips", "command lines", "stills", "films", "unwritten", "names")
READ = {"stills": stills.call, "films": read.call, "unwritten": read.unwritten}
"""Kinds that are read and compared with what another decoder makes of them."""
QUICK = ["--device", "cpu", "--precision", "fp32", "--threads", "1"]
"""Else the time goes into measuring and loading engines."""

SOURCES = (
    "bgr0.png", "clip.mp4", "clip.avi", "many", "many/*.jpg", "*.png", "grüße 😀.jpg", "100%d.png", "new\nline.png",
    "[x].png", "[[]x].png", "²", "./²", "none", "folder.jpg", "folder.mp4", "text.txt", "empty.mp4", "full",
    "zero.jpg", "null.mp4", "loop", "loop.jpg", "gone.jpg", "*", "**/*", "50%02d.mp4", "\udcff.png", "a'b\"c,d.png",
)  # fmt: skip
TARGETS = (
    "out.json", "out.mp4", "out.avi", "out.mkv", "out.mov", "out.png", "out.JPG", "out", "out/", "none/", "many", "-",
    "full", "null", "full.mp4", "null.mp4", "full.jpg", "loop", "gone", "clip.mp4", "bgr0.png", "/proc/out.json",
    "/proc/out.mp4", "missing/out.json", "text.txt/out.csv", "folder.jpg", "folder.mp4", ".", "..", ".json",
    "grüße 😀.mp4", "new\nline.json", "\udcff.csv", "%d.mp4", "%03d.png", "a b.mkv", "out.jpg",
)  # fmt: skip
WILD = (
    "", " ", "-", "--", "\t", "\n", "a" * 300, "a" * 5000, "x/" * 3000, "é" * 200, "😀", "\udcff\udcfe", "~",
    "~nobody/x", "~/x.json", "²", "٣", "-1", "0", "00", "1e309", "nan", "-inf", "inf", "9" * 30, "9" * 5000, "0x10",
    "1_000", "1e-320", "%s%n%d", "[", "[]", "?", "a ! b", "videotestsrc ! appsink", "rtsp://", "http://", "://",
    "rtsp://[::1", "\x1b[31m", "http://127.0.0.1:1/x", "rtsp://127.0.0.1:1/x", "rtsp://u:secret@127.0.0.1:99999/x",
    "concat:a|b", "pipe:0", "-x", "--source", "--help", "--version", "auto", "None", "true", "1,5", "+1", " 1",
    "/dev/video99", "/dev/nothing",
)  # fmt: skip
SERVE = (
    "0", "127.0.0.1:0", "localhost:0", "[::1]:0", "65536", "-1", "1:2:3", ":", ":0", "[::1]", "99999999", "a b:0",
    "²", "80.5",
)  # fmt: skip
OPTIONS = {
    "--save": TARGETS, "--json": TARGETS, "--csv": TARGETS, "--summary": TARGETS,
    "--model": ("default", "student", ".", "none"),
    "--device": ("auto", "cpu", "openvino", "cuda", "tensorrt", "dla:0", "ort-tensorrt"),
    "--precision": ("fp32", "fp16", "int8"), "--threads": ("1", "2", "0", "3.5", "2000", "100000"),
    "--min-face": ("0", "20", "1e-300", "1e300", "-3", "5000"),
    "--min-confidence": ("0", "0.5", "0.999999", "1", "-0.1"),
    "--smoothing": ("0", "0.25", "3600", "1e-320", "-1", "3601"), "--baseline": ("0", "0.1", "3600", "1e-320"),
    "--max-frames": ("1", "3", "100", "0", "2.5"), "--token": ("12345678", "short"), "--serve": SERVE,
    "--camera": ("0", "7", "63", "2147483647"), "--source": SOURCES, "--demo": None, "--show": None, "--blur": None,
    "--quiet": None, "--loop": None, "--help": None, "--version": None,
}  # fmt: skip
SELDOM = ("--source", "--camera", "--demo", "--help", "--version")


@dataclass(frozen=True)
class Case:
    """A command line for ``fer-run`` in a folder of its own, with SIGTERM after ``stop`` s, or a ``call``, which may
    say whether it compared what was read with a reference. ``after``: what is wrong with what a command left there."""

    kind: str
    shown: str
    argv: list[str] | None = None
    stop: float | None = None
    call: Callable[[], bool | None] | None = None
    after: Callable[[Path], str] = lambda _: ""


class Maker:
    """``base``: the folder of ``write_base``. ``model``: that of the command lines, and of the frames."""

    def __init__(self, seed: int, base: Path, model: str):
        self._seed, self._base, self._model = seed, base, model
        self._pictures, self._clips = read_base(base, PICTURES), read_base(base, CLIPS)

    def make(self, index: int, folder: Path) -> Case:
        """Input number ``index``; its files go into ``folder``, which is empty."""
        draw = random.Random(f"{self._seed} {index}")
        kind = KINDS[index % len(KINDS)]
        if kind == "frames":
            shown, call = frames.call(self._recognizer(), self._face(), draw)
            return Case(kind, shown, call=call)
        if kind in READ:
            shown, check = READ[kind](self._face(), folder, draw)
            return Case(kind, shown, call=check)
        if kind == "names":
            return self._named(folder, draw)
        if kind == "command lines":
            in_folder(folder, self._base)
            argv = [native(word) for word in _command_line(draw)]
            if "--model" not in argv:
                argv += ["--model", self._model]
            return Case(kind, f"fer-run {argv}"[:2000], argv, stop=draw.uniform(0.3, 3.0))
        name, argv, stop = self._file(folder, draw, clip=kind == "clips")
        argv = ["--source", name, *argv, *QUICK, "--model", self._model]
        return Case(kind, f"fer-run {argv}", argv, stop=stop)

    def _named(self, folder: Path, draw: random.Random) -> Case:
        shown, how = names.call(self._base, self._face(), folder, draw)
        if callable(how):
            return Case("names", shown, call=how)
        argv = ["--json", "out.jsonl", *QUICK, "--model", self._model, *how]
        return Case("names", f"{shown}: fer-run {argv!a}", argv, stop=20.0, after=names.check_records)

    def _file(self, folder: Path, draw: random.Random, *, clip: bool) -> tuple[str, list[str], float | None]:
        base = self._clips if clip else self._pictures
        suffix, data = draw.choice(base)
        suffix = suffix if draw.random() < 0.8 else draw.choice(SUFFIXES)
        name = f"in{suffix}"
        (folder / name).write_bytes(spoil(data, draw, base))
        outputs = [
            ["--json", "out.jsonl"],
            ["--csv", "out.csv"],
            ["--summary", "out.json"],
            ["--blur"],
            ["--quiet"],
            ["--json", "-"],
        ]
        argv = [word for words in draw.sample(outputs[: 5 + draw.randrange(2)], 2) for word in words]
        argv = ["--json", "-"] if argv.count("--json") > 1 else argv
        if not clip:
            if draw.random() < 0.3:
                argv += ["--save", f"out{draw.choice(('.png', '.jpg', '.webp', '.tiff', '.bmp'))}"]
            elif draw.random() < 0.2:
                for i in range(2):
                    other, more = draw.choice(base)
                    (folder / f"in{i}{other}").write_bytes(spoil(more, draw, base))
                return ".", [*argv, "--save", "out"], None
            return name, argv, None
        argv += ["--max-frames", str(draw.choice((1, 5, 30)))]
        if draw.random() < 0.3:
            argv += ["--save", f"out{draw.choice(('.mp4', '.mkv', '.avi', '.mov'))}"]
        if draw.random() < 0.15:
            return name, [*argv, "--loop"], draw.uniform(0.2, 1.0)
        return name, argv, 20.0

    @lru_cache  # noqa: B019 - one maker a process
    def _recognizer(self) -> Recognizer:
        return Recognizer(self._model, device="cpu", precision="fp32", threads=1)

    @lru_cache  # noqa: B019
    def _face(self) -> np.ndarray:
        return np.asarray(cv2.imread(str(self._base / "bgr0.png")), dtype=np.uint8)


def _command_line(draw: random.Random) -> list[str]:
    """Mostly a source and some options; now and then words in any order."""
    names = draw.sample([name for name in OPTIONS if name not in SELDOM], draw.randrange(5))
    what = draw.choice(("--source",) * 12 + ("--camera", "--demo"))
    words: list[list[str]] = [_option(what, draw), *(_option(name, draw) for name in names)]
    if draw.random() < 0.1:
        words.append(_option(draw.choice(list(OPTIONS)), draw))
    if draw.random() < 0.05:
        words.append([draw.choice(WILD)])
    draw.shuffle(words)
    if draw.random() < 0.8 and not {"--device", "--precision", "--threads"} & set(names):
        words.append(QUICK)
    return [word for group in words for word in group]


def _option(name: str, draw: random.Random) -> list[str]:
    values = OPTIONS[name]
    if values is None:
        return [name]
    kind = draw.random()
    value = draw.choice(WILD if kind < 0.2 else values if kind < 0.6 else values[:5])  # the first are mostly fine
    return [f"{name}={value}"] if draw.random() < 0.2 else [name, value]
