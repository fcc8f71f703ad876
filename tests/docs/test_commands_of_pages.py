"""The commands of the pages, also of those blocks that cannot run here: options, modules, targets, extras and files."""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise

import pytest
from code_blocks import PAGES, ROOT, Block, blocks, commands_of
from commands import COMMANDS
from extras import EXTRAS, named

MAKEFILES = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "weights.mk", "benchmarks.mk"))
ALL = [block for page in PAGES for block in blocks(page)]
SHELL = [block for block in ALL if block.language == "sh"]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_are_understood(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    images: dict[str, str] = {}
    for words in commands_of(block.text):
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # variables of the environment
            words = words[1:]
        if words[0] == "docker":
            words = in_docker(words, images)
        if "-m" in words:
            module, rest = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
            assert find_spec(module), f"no module {module}"
            words = [module.replace("mien_train.cli", "fer-train"), *rest]
        program, rest = words[0], words[1:]
        if program in COMMANDS:
            monkeypatch.setattr(sys, "argv", words)
            import_module(COMMANDS[program]).parse_args(rest)  # ends the program where it does not understand
        elif program == "make":
            check_make(rest)
        elif program == "pip":
            assert set(named(rest)) <= set(EXTRAS)
            assert all("[" not in word or named([word]) for word in rest), f"{rest} names no extras of mien"


def test_python_that_does_not_run_is_python() -> None:
    for block in ALL:
        if block.reason and block.language == "python":
            compile(block.text, str(block), "exec")


def check_make(words: list[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", MAKEFILES, re.M))
    for word in words:
        variable, given, _ = word.partition("=")
        if given:
            assert f"$({variable})" in MAKEFILES, f"make has no use for {variable}"
        else:
            assert word in targets, f"no such target of make: {word}"


def in_docker(words: list[str], images: dict[str, str]) -> list[str]:
    """The command that runs in a container, or docker's own. ``images``: the Dockerfile of each, which ``docker build``
    adds to."""
    options = dict(pairwise(words))
    if words[1] == "build":
        file = options.get("-f", "Dockerfile")
        copied = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", (ROOT / file).read_text(encoding="utf-8"), re.M)
        assert all((ROOT / name).exists() for names in copied for name in names.split())
        images[options["-t"]] = file
        return words
    image = next((word for word in words if word in images), None)
    if image is None:  # somebody else's
        return words
    start = re.findall(r"^ENTRYPOINT (.+)$", (ROOT / images[image]).read_text(encoding="utf-8"), re.M)[-1]
    begin = [options["--entrypoint"]] if "--entrypoint" in options else json.loads(start)
    return [*begin, *words[words.index(image) + 1 :]]
