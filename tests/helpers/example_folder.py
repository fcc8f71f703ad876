"""The files that the pages name, in a folder, and the programs that their commands call."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from code_blocks import ROOT, SCRIPTS
from npm_package import made_up_weights, write_package
from stand_ins import CAMERA, CLIP, LAUNCHERS, PACKAGE
from tiny_conv import write_conv_bundle
from tiny_faces import face, write_sets

from mien.types import EXPRESSIONS, Image

PROGRAM = """#!{python}
import pathlib, sys
sys.path.insert(0, {helpers!r})
import stand_ins
sys.exit(stand_ins.run([{name!r}, *sys.argv[1:]], {server!r}, pathlib.Path({folder!r})))
"""


def write_files(folder: Path, portrait: Image) -> None:
    """Pictures, clips, faces to learn from, and a bundle."""
    for name in ("portrait.jpg", "holiday/a.jpg", "holiday/2026/b.jpg", "a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), portrait)
    (folder / "shots").mkdir()
    for i in range(6):
        turn = cv2.getRotationMatrix2D((223, 119), 3 * i - 8, 1 + 0.02 * i)
        cv2.imwrite(str(folder / f"shots/{i}.jpg"), cv2.warpAffine(portrait, turn, (512, 512)))
    for name in (CLIP, "day1.mp4", "day2.mp4"):
        _write_clip(folder / name, portrait)
    _write_clip(folder / CAMERA, _at_rest(portrait))
    rng = np.random.default_rng(0)
    for k, label in enumerate(EXPRESSIONS):
        (folder / "MYFACES" / label).mkdir(parents=True)
        for i in range(4):
            (folder / "MYFACES" / label / f"{i}.jpg").write_bytes(face(portrait, k, rng, 180))
    write_sets(folder / "FACES", portrait)
    _write_affwild2(folder / "AFFWILD2", portrait)
    write_conv_bundle(folder / "my-bundle")
    (folder / "train").symlink_to(ROOT / "train")


def write_programs(folder: Path, server: str) -> None:
    """Into the ``bin`` of ``folder``: the commands, and what stand_ins.py puts in the place of others."""
    bin = folder / "bin"
    bin.mkdir()
    write_package(folder / PACKAGE, made_up_weights())
    for name in (*SCRIPTS, *LAUNCHERS, "pip", "npm"):
        words = {
            "python": sys.executable,
            "helpers": str(Path(__file__).parent),
            "server": server,
            "folder": str(folder),
        }
        (bin / name).write_text(PROGRAM.format(name=name, **words))
        (bin / name).chmod(0o755)


def _write_clip(path: Path, portrait: Image) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (256, 256))
    for i in range(10):
        writer.write(cv2.resize(portrait[: 400 + 5 * i, : 400 + 5 * i], (256, 256)))
    writer.release()


def _at_rest(portrait: Image) -> Image:
    """The portrait with less of a smile: the corners of the mouth, at 199 and 240, 143 px, are drawn down."""
    y, x = np.mgrid[: portrait.shape[0], : portrait.shape[1]].astype(np.float32)
    aside = np.abs(x - 219)
    near = np.exp(-(((aside - 20) / 14) ** 2) - ((y - 143) / 20) ** 2)
    return np.asarray(cv2.remap(portrait, x, y - 9 * (aside / 20) ** 2 * near, cv2.INTER_LINEAR), np.uint8)


def _write_affwild2(folder: Path, portrait: Image) -> None:
    """Six videos in the layout of Aff-Wild2, with a class for each frame."""
    (folder / "EXPR_Set" / "Train_Set").mkdir(parents=True)
    for k in range(6):
        _write_clip(folder / f"{k}.mp4", portrait)
        lines = ["Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other", *[str(k)] * 10]
        (folder / "EXPR_Set" / "Train_Set" / f"{k}.txt").write_text("\n".join(lines))
