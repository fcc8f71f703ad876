"""Every code block of the README and the documentation runs, or says why it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from code_blocks import PAGES, Block, blocks
from command_server import CommandServer
from example_folder import write_files, write_programs
from forked_command import IMPORTED
from s3_store import s3_server
from stand_ins import LOG

from mien.types import Image

ALL = [block for page in PAGES for block in blocks(page)]
ALONE = ("other-systems.md",)
"""Pages whose blocks have a test of their own, as their programs go on in the background."""
STORE = "an S3 server"
RUN = {
    page: [block for block in blocks(page) if not block.reason and block.needs != STORE]
    for page in PAGES
    if page.name not in ALONE
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: Image) -> Path:
    """A folder with the files that the blocks name."""
    here = tmp_path_factory.mktemp("files")
    write_files(here, portrait)
    return here


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with ``bin``, the programs that the blocks call, and the log of what they did."""
    here = tmp_path_factory.mktemp("programs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", str(here / "datasets"))
        patch.setenv("OMP_NUM_THREADS", "1")  # for so little, threads cost more than they give
        server = CommandServer(IMPORTED, "forked_command:start")
    write_programs(here, server.address)
    yield here
    server.close()


@pytest.mark.parametrize("page", [page for page in RUN if RUN[page]], ids=lambda page: page.stem)
def test_blocks_run(page: Path, folder: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shutil.copytree(folder, tmp_path / page.stem, symlinks=True))  # other pages do not see its files
    use(programs, monkeypatch)
    names: dict[str, object] = {"__name__": "docs"}  # the blocks of a page follow each other
    for block in RUN[page]:
        HOW[block.language](block, names)
    print(done := (programs / LOG).read_text())
    assert all(line.startswith("0 ") for line in done.splitlines())  # those in the background and before a pipe, too


@pytest.mark.parametrize("block", [block for block in ALL if block.needs == STORE], ids=str)
def test_blocks_with_a_store_run(
    block: Block, folder: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    use(programs, monkeypatch)
    day, night = folder / "portrait.jpg", folder / "talk.mp4"
    with s3_server({"bucket": {"2026/a.jpg": day, "2026/05/b.jpg": day}, "other": {"front/c.mp4": night}}):
        run_shell(block, {})
    assert (programs / LOG).read_text().startswith("0 ")
    assert pyarrow.parquet.read_table("results/index.parquet").column("state").to_pylist() == ["done"] * 3


def use(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that run from now on find the programs, and their log is empty."""
    monkeypatch.setenv("PATH", f"{programs / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (programs / LOG).write_text("")


@pytest.mark.parametrize(
    "text",
    [
        "fer-run lost.jpg",
        "fer-run lost.jpg &\nwait",
        "fer-train evaluate lost.pt | cat",
        'pip install ".[abacus]"',
        "pip install abacus",
    ],
)
def test_commands_that_fail_are_seen(
    text: str, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    use(programs, monkeypatch)
    subprocess.run(["bash", "-ec", text], capture_output=True, check=False)
    assert (programs / LOG).read_text().startswith(("1 ", "2 "))


def run_python(block: Block, names: dict[str, object]) -> None:
    exec(compile(block.text, str(block), "exec"), names)


def run_shell(block: Block, _: dict[str, object]) -> None:
    done = subprocess.run(["bash", "-ec", block.text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}: {done.stdout}{done.stderr}"


def look_at(block: Block, _: dict[str, object]) -> None:
    """A drawing, or what a file holds."""


HOW: dict[str, Callable[[Block, dict[str, object]], None]] = {"python": run_python, "sh": run_shell, "text": look_at}


def test_blocks_that_do_not_run_say_why() -> None:
    """They are listed when this test fails, or with -s."""
    idle = [block for block in ALL if block.reason]
    for block in idle:
        print(f"{block}: {block.reason}")
    assert all(len(block.reason) > 10 for block in idle)
    assert {block.language for block in ALL} <= {*HOW, "js"}
