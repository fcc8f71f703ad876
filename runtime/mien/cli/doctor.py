"""``fer-doctor``: what this machine offers, which backend is fastest, and whether its outputs are correct."""

from __future__ import annotations

import argparse
import faulthandler
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version

from mien.cli.numbers import add_threads
from mien.diagnostics.machine import Facts, Problems, libraries, machine
from mien.engines import DEVICES, PRECISIONS
from mien.terminal import say

EPILOG = """The report is meant to be pasted into a bug report. If something fails, it may contain names of your
folders.

exit codes: 0 healthy, perhaps with warnings; 1 the packaged bundle, or something that was requested, does not work;
2 bad usage."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options. Bad usage ends the program with code 2."""
    parser = argparse.ArgumentParser(
        prog="fer-doctor",
        description="Report what this machine offers, which backend is fastest, and whether its outputs are correct.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", metavar="M", default="default", help="packaged model, or the folder of a bundle")
    parser.add_argument("--device", choices=("auto", *DEVICES), default="auto", help="test this device (default: auto)")
    parser.add_argument(
        "--precision", choices=("auto", *PRECISIONS), default="auto", help="and this precision (default: auto)"
    )
    add_threads(parser)
    parser.add_argument("--fresh", action="store_true", help="ignore what auto has measured before")
    parser.add_argument("--json", action="store_true", help="the same report as JSON")
    parser.add_argument("--version", action="version", version=f"mien {version('mien')}")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Print the report on stdout, section by section. Returns the exit code."""
    problems: Problems = {}
    report: Facts = {"mien": version("mien")}
    if not args.json:
        say(f"mien {report['mien']}")
    for title, facts in examine(args, problems):
        report[title] = facts
        if not args.json:  # at once, so that the sections before a crash of a library are visible
            say(section(title, facts))
    report["problems"] = [{"serious": serious, "text": text} for text, serious in problems.items()]
    report["healthy"] = not any(problems.values())
    say(json.dumps(report, indent=2, allow_nan=False) if args.json else verdict(problems))
    return 0 if report["healthy"] else 1


def work() -> int:
    """Parse the options and run. Returns the exit code."""
    with suppress(OSError, ValueError, AttributeError):  # stderr may be closed
        faulthandler.enable()  # names the library if one crashes
    return run(parse_args())


def examine(args: argparse.Namespace, problems: Problems) -> Iterator[tuple[str, Facts]]:
    """The sections of the report, each as soon as it is known. Fills ``problems``, and raises nothing."""
    yield "machine", machine()
    facts, wrong = libraries()
    problems.update(wrong)
    yield "libraries", facts
    if any(wrong.values()):  # everything else needs OpenCV
        return
    from mien.diagnostics.checkup import check_up

    yield from check_up(args, problems)


def section(title: str, facts: Facts) -> str:
    """A section of the report as text: one line per fact, and one for each part of a fact with named parts."""
    width = max(map(len, facts), default=0) + 2
    lines = [f"\n{title}"]
    for name, value in facts.items():
        rows = [_text(value)]
        if isinstance(value, dict) and value:
            rows = [f"{key}: {_text(part)}" for key, part in value.items()] if title != "ways" else [_backend(value)]
        lines += [f"  {name.replace('_', ' ') if i == 0 else '':<{width}}{row}" for i, row in enumerate(rows)]
    return "\n".join(lines)


def verdict(problems: Problems) -> str:
    """The end of the report: errors, then warnings, then a line that summarizes them."""
    wrong = [text for text, serious in problems.items() if serious]
    warnings = [text for text, serious in problems.items() if not serious]
    lines = [*(f"error: {text}" for text in wrong), *(f"warning: {text}" for text in warnings)]
    end = "healthy" if not wrong else f"not healthy, {len(wrong)} error{'s' * (len(wrong) > 1)}"
    return "\n".join(["", *lines, end + (f", {len(warnings)} warning{'s' * (len(warnings) > 1)}" if warnings else "")])


def _backend(facts: Facts) -> str:
    """The result of a device and precision, in one line."""
    if "fails" in facts:
        return f"fails: {facts['fails']}"
    golden = facts["golden"] + (f" ({_text(facts['differences'])})" if "differences" in facts else "")
    nodes = f" ({_text(facts['nodes'])} nodes)" if "nodes" in facts else ""
    return f"{facts['engine']}{nodes}, {_text(facts['milliseconds'])} ms, golden outputs: {golden}"


def _text(value: object) -> str:
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
