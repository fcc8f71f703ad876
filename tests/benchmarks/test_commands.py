"""Every module of the benchmarks can be imported, and every command says what it does and is called what it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from benchmarks.common import ROOT

SHOW = """
import contextlib, importlib, io, json, pkgutil, sys
import benchmarks
shown = {}
for found in pkgutil.walk_packages(benchmarks.__path__, "benchmarks."):
    main = getattr(importlib.import_module(found.name), "main", None)
    if main is None or found.name.endswith(".__main__"):
        continue
    sys.argv = [found.name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    shown[found.name] = out.getvalue()
print(json.dumps(shown))
"""
"""In a process of its own: what the modules set for themselves, such as OpenCV's log level, stays out of the tests."""


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, cwd=ROOT, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    commands: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return commands


def test_every_command_is_called_what_it_is(shown: dict[str, str]) -> None:
    assert len(shown) > 25
    for name, text in shown.items():
        command = name.removesuffix(".driver")
        assert text.startswith(f"usage: python -m {command} "), name
        if not name.endswith(".worker"):  # which the fuzzer starts
            assert text.count(f"python -m {command}") > 1, name  # an example


def test_every_report_tells_a_command_that_there_is(shown: dict[str, str]) -> None:
    told = [
        json.loads(path.read_text(encoding="utf-8")).get("command", "")
        for path in (ROOT / "benchmarks/results").glob("*.json")
    ]
    ours = {command.split()[2] for command in told if command.startswith("python -m")}
    assert ours <= {name.removesuffix(".driver") for name in shown}
    assert len(ours) >= 25


def test_make_runs_every_command_and_lists_every_target(shown: dict[str, str]) -> None:
    text = (ROOT / "benchmarks.mk").read_text(encoding="utf-8")
    run = {f"benchmarks.{name}" for name in re.findall(r"\(BENCHMARK\)\.([\w.]+)", text)}
    # The choice of a crop is made once, before a student is trained; the fuzzer starts its workers itself.
    alone = {"benchmarks.accuracy.crop", "benchmarks.reliability.fuzz.worker"}
    assert run == {name.removesuffix(".driver") for name in shown} - alone
    rules = set(re.findall(r"^(benchmark-[\w-]+):", text, re.MULTILINE))
    listed = set(re.findall(r"^#   make (benchmark-[\w-]+) .*  ?\w", text, re.MULTILINE))
    parts = ("personal", "ceiling", "cfee", "action-units", "enroll-time", "encoder", "temporal-speed")
    assert rules == listed | {f"benchmark-{name}" for name in parts}
