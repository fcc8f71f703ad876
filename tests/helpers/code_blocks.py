"""The fenced code blocks of the README and the documentation, and what each needs to run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>not run|needs|saved as): (?P<words>[^\n]+) -->\n+)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
SCRIPTS = {
    name: (module, function)
    for name, module, function in re.findall(
        r'^(fer-\w+) = "([\w.]+):(\w+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M
    )
}
"""Name of a program -> its module and function."""
MARKS = ("not run", "needs", "saved as")
BETWEEN = {"&&", "||", "|", "&", ";"}


@dataclass(frozen=True)
class Block:
    """One block. ``reason``: why it cannot run in a test, or empty. ``needs``: a program or server that the test starts
    and without which the block is left out, or empty. ``file``: the name of the file that it is, or empty. ``line``: of
    its first line in the page."""

    page: str
    line: int
    language: str
    text: str
    reason: str
    needs: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        reason, needs, file = (match["words"] if match["mark"] == mark else "" for mark in MARKS)
        found.append(Block(name, line, match["language"], match["text"], reason, needs, file))
    return found


def without_blocks(text: str) -> str:
    return BLOCK.sub("", text)


def commands_of(text: str) -> Iterator[list[str]]:
    """The commands of a shell block as lists of words, those joined by ``&&`` or ``|`` one by one."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in words:
            if word in BETWEEN:
                yield from [command] if command else []
                command = []
            else:
                command.append(word)
        if command:
            yield command
