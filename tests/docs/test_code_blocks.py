"""Every code block of the README and the documentation runs, or says why it cannot and has its options looked at."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
from code_blocks import PAGES, ROOT, Block, blocks, commands_of
from commands import COMMANDS
from tiny_conv import write_conv_bundle

from mien.types import EXPRESSIONS, Image

SCRIPT = re.compile(r'^(fer-\w+) = "([\w.]+):(\w+)"$', re.M)
MAKEFILES = ("Makefile", "weights.mk", "benchmarks.mk")
QUICK = ("optim.steps=1", "optim.batch=8", "workers=0", "data.near_duplicates=-1")
MORE = {"fer-train": [word for change in QUICK for word in ("--set", change)], "fer-export": ["--force"]}
"""What a test adds to a command: a training ends in seconds, and what nobody trained may fail its proof."""
ALL = [block for page in PAGES for block in blocks(page)]
RUN = {page: [block for block in blocks(page) if not block.reason] for page in PAGES}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: Image) -> Path:
    """A folder with the files that the blocks name, and programs of the names that they call."""
    here = tmp_path_factory.mktemp("docs")
    for name in ("portrait.jpg", "holiday/a.jpg", "holiday/2026/b.jpg", "a.jpg"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(here / name), portrait)
    for i in range(6):
        (here / "shots").mkdir(exist_ok=True)
        turn = cv2.getRotationMatrix2D((223, 119), 3 * i - 8, 1 + 0.02 * i)
        cv2.imwrite(str(here / f"shots/{i}.jpg"), cv2.warpAffine(portrait, turn, (512, 512)))
    for k, label in enumerate(EXPRESSIONS):
        (here / "MYFACES" / label).mkdir(parents=True)
        for i in range(4):
            face = portrait[30 + i : 210 + i, 130 + i : 310 + i].astype(int) + 5 * k
            cv2.imwrite(str(here / "MYFACES" / label / f"{i}.jpg"), face.clip(0, 255).astype("uint8"))
    for name in ("talk.mp4", "day1.mp4", "day2.mp4"):
        writer = cv2.VideoWriter(str(here / name), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (256, 256))
        for i in range(10):
            writer.write(cv2.resize(portrait[: 400 + 5 * i, : 400 + 5 * i], (256, 256)))
        writer.release()
    write_conv_bundle(here / "my-bundle")
    (here / "bin").mkdir()
    for name, module, start in SCRIPT.findall((ROOT / "pyproject.toml").read_text(encoding="utf-8")):
        program, more = here / "bin" / name, MORE.get(name, [])
        program.write_text(
            f"#!{sys.executable}\nimport sys\nfrom {module} import {start}\n"
            f"if __name__ == '__main__':\n    sys.argv += {more}\n    {start}()\n"
        )
        program.chmod(0o755)
    return here


def in_folder(name: Path, folder: Path, tmp_path: Path) -> Path:
    """A copy of ``folder`` for the page ``name``: what one writes, another does not see."""
    return Path(shutil.copytree(folder, tmp_path / name.stem, ignore=shutil.ignore_patterns("bin")))


@pytest.mark.parametrize("page", [page for page in PAGES if RUN[page]], ids=lambda page: page.stem)
def test_blocks_run(page: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(in_folder(page, folder, tmp_path))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    names: dict[str, object] = {"__name__": "docs"}  # the blocks of a page follow each other
    for block in RUN[page]:
        HOW[block.language](block, names)


def run_python(block: Block, names: dict[str, object]) -> None:
    exec(compile(block.text, str(block), "exec"), names)


def run_shell(block: Block, _: dict[str, object]) -> None:
    done = subprocess.run(["bash", "-ec", block.text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}: {done.stdout}{done.stderr}"


def look_at(block: Block, _: dict[str, object]) -> None:
    """A drawing, or what a file holds."""


HOW: dict[str, Callable[[Block, dict[str, object]], None]] = {"python": run_python, "sh": run_shell, "text": look_at}


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "sh"], ids=str)
def test_commands_are_understood(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that cannot run here: their options are parsed, their modules and targets are there."""
    for words in commands_of(block.text):
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # variables of the environment
            words = words[1:]
        if "-m" in words:
            module = words[words.index("-m") + 1]
            program, rest = module.replace("mien_train.cli", "fer-train"), words[words.index("-m") + 2 :]
            assert find_spec(module), f"{block}: no module {module}"
        else:
            program, rest = words[0], words[1:]
        if program in COMMANDS:
            monkeypatch.setattr(sys, "argv", [program, *rest])
            import_module(COMMANDS[program]).parse_args(rest)  # ends the program where it does not understand
        elif program == "make":
            targets = set(re.findall(r"^([\w-]+):", "".join((ROOT / name).read_text() for name in MAKEFILES), re.M))
            assert {word for word in rest if "=" not in word} <= targets, f"{block}: no such target of make"


def test_blocks_that_do_not_run_say_why() -> None:
    """They are listed when this test fails, or with -s."""
    idle = [block for block in ALL if block.reason]
    for block in idle:
        print(f"{block}: {block.reason}")
    assert all(len(block.reason) > 10 for block in idle)
    assert {block.language for block in ALL} <= set(HOW)
