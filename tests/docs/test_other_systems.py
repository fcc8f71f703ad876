"""The page on other systems, with real servers, a real broker and other languages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import pytest
from code_blocks import ROOT, blocks
from page_run import PageRun

from mien.types import Image

PAGE = ROOT / "docs/how-to/other-systems.md"


def test_blocks_run(tmp_path: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("talk.mp4", "day1.mp4", "day2.mp4"):
        writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (256, 256))
        for i in range(10):
            writer.write(cv2.resize(portrait[: 400 + 5 * i, : 400 + 5 * i], (256, 256)))
        writer.release()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (("python", ""), ("fer-run", "-m mien.cli")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    running = PageRun(tmp_path)
    try:
        for block in blocks(PAGE):
            if not block.reason:
                running.run(block)
    finally:
        running.close()
