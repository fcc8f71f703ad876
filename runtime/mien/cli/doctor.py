"""``fer-doctor``: what this machine has, which engine runs the model fastest, and whether its answers are right."""

from __future__ import annotations

import argparse
import faulthandler
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version

from mien.diagnostics.machine import Facts, Problems, libraries, machine
from mien.engines import DEVICES, PRECISIONS
from mien.terminal import entry, say

EPILOG = """The report is made to be pasted into a bug report. Where something fails it may name folders of yours.

exit codes: 0 healthy, perhaps with warnings; 1 the packaged bundle, or something that was asked for, does not work;
2 bad usage."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options. Bad usage ends the program with code 2."""
    parser = argparse.ArgumentParser(
        prog="fer-doctor",
        description="Report what this machine has, which engine runs the model fastest, and whether it answers right.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", metavar="M", default="default", help="packaged model, or the folder of a bundle")
    parser.add_argument("--device", choices=("auto", *DEVICES), default="auto", help="find out whether this one works")
    parser.add_argument(
        "--precision", choices=("auto", *PRECISIONS), default="auto", help="and this one (default: auto)"
    )
    parser.add_argument("--threads", metavar="N", type=int, help="of the model (default: all cores but one)")
    parser.add_argument("--fresh", action="store_true", help="measure again what auto remembers")
    parser.add_argument("--json", action="store_true", help="the same report as JSON")
    parser.add_argument("--version", action="version", version=f"mien {version('mien')}")
    args = parser.parse_args(argv)
    if args.threads is not None and args.threads < 1:
        parser.error(f"--threads is {args.threads}; use 1 or more, or leave it out for all cores but one")
    return args


def run(args: argparse.Namespace) -> int:
    """Print the report on stdout, as text section by section. Returns the exit code."""
    problems: Problems = {}
    report: Facts = {"mien": version("mien")}
    if not args.json:
        say(f"mien {report['mien']}")
    for title, facts in examine(args, problems):
        report[title] = facts
        if not args.json:  # at once: where a library takes the process down, what came before still stands
            say(section(title, facts))
    report["problems"] = [{"serious": serious, "text": text} for text, serious in problems.items()]
    report["healthy"] = not any(problems.values())
    say(json.dumps(report, indent=2, allow_nan=False) if args.json else verdict(problems))
    return 0 if report["healthy"] else 1


def main() -> None:
    """The program."""
    with suppress(OSError, ValueError, AttributeError):  # where stderr is closed
        faulthandler.enable()  # names the library that crashes, where one does
    entry("fer-doctor", lambda: run(parse_args()))


def examine(args: argparse.Namespace, problems: Problems) -> Iterator[tuple[str, Facts]]:
    """The sections of the report, each when it is known. Fills ``problems``, and raises nothing."""
    yield "machine", machine()
    facts, wrong = libraries()
    problems.update(wrong)
    yield "libraries", facts
    if any(wrong.values()):  # all else needs OpenCV
        return
    from mien.diagnostics.checkup import check_up

    yield from check_up(args, problems)


def section(title: str, facts: Facts) -> str:
    """A section of the report as text: a line a fact, and one for each part of a fact that has named parts."""
    width = max(map(len, facts), default=0) + 2
    lines = [f"\n{title}"]
    for name, value in facts.items():
        rows = [_text(value)]
        if isinstance(value, dict) and value:
            rows = [f"{key}: {_text(part)}" for key, part in value.items()] if title != "ways" else [_way(value)]
        lines += [f"  {name.replace('_', ' ') if i == 0 else '':<{width}}{row}" for i, row in enumerate(rows)]
    return "\n".join(lines)


def verdict(problems: Problems) -> str:
    """The end of the report: what does not work, then the warnings, then one line that sums it up."""
    wrong = [text for text, serious in problems.items() if serious]
    warnings = [text for text, serious in problems.items() if not serious]
    lines = [*(f"error: {text}" for text in wrong), *(f"warning: {text}" for text in warnings)]
    end = "healthy" if not wrong else f"not healthy, {len(wrong)} error{'s' * (len(wrong) > 1)}"
    return "\n".join(["", *lines, end + (f", {len(warnings)} warning{'s' * (len(warnings) > 1)}" if warnings else "")])


def _way(facts: Facts) -> str:
    """How a device and precision did, in one line."""
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
