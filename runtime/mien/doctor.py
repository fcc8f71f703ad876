"""``fer-doctor``: what this machine has, which engine runs the model fastest, and whether its answers are right."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from mien.bundle import FILES, IR_FILES, MODELS, Bundle, find_bundle
from mien.choice import Choice, Way, choose, ways
from mien.engines import DEVICES
from mien.errors import MienError
from mien.golden import GOLDEN
from mien.machine import Facts, libraries, machine
from mien.selftest import Problems, try_picture, try_way, words

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
    parser.add_argument("--precision", choices=("auto", *FILES), default="auto", help="and this one (default: auto)")
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
        print(f"mien {report['mien']}", flush=True)
    for title, facts in examine(args, problems):
        report[title] = facts
        if not args.json:  # at once: where a library takes the process down, what came before still stands
            print(section(title, facts), flush=True)
    report["problems"] = [{"serious": serious, "text": text} for text, serious in problems.items()]
    report["healthy"] = not any(problems.values())
    print(json.dumps(report, indent=2, allow_nan=False) if args.json else verdict(problems))
    return 0 if report["healthy"] else 1


def main() -> None:
    faulthandler.enable()  # names the library that crashes, where one does
    try:
        code = run(parse_args())
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # as in fer-doctor | head: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def examine(args: argparse.Namespace, problems: Problems) -> Iterator[tuple[str, Facts]]:
    """The sections of the report, each when it is known. Fills ``problems``, and raises nothing."""
    yield "machine", machine()
    facts, wrong = libraries()
    problems.update(dict.fromkeys(wrong, False))
    yield "libraries", facts
    try:
        bundle = find_bundle(args.model)
    except (MienError, OSError) as error:
        problems[str(error)] = True
        return
    yield "bundle", _bundle(bundle, problems)
    tried: list[Way] = []
    chosen = _choose(bundle, "auto", "auto", args, problems)
    if chosen is not None:
        tried += [way for way in ways(bundle, "auto", "auto") if " ".join(way) not in chosen.refused]
        yield "auto", _reasons(chosen)
    needed = [(chosen.device, chosen.precision)] if chosen else []
    if (args.device, args.precision) != ("auto", "auto"):
        asked = _choose(bundle, args.device, args.precision, args, problems)
        if asked is not None:
            needed = [(asked.device, asked.precision)]
            tried += [way for way in needed if way not in tried]
            yield "asked", _reasons(asked)
    if tried:
        yield "ways", {" ".join(way): try_way(bundle, way, way in needed, args.threads, problems) for way in tried}
        yield "predict", try_picture(args.model, args.device, args.precision, args.threads, problems)


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


def _bundle(bundle: Bundle, problems: Problems) -> Facts:
    card, files = bundle.card, {}
    for name in card.files:
        try:
            size = bundle.verified(name).stat().st_size
            files[name] = f"{size / 1e6:.1f} MB, as its card says"
        except (MienError, OSError) as error:
            files[name] = "does not belong to its card"
            problems[str(error)] = True
    proofs = {}
    own = [f"openvino {precision}" for precision, name in IR_FILES.items() if name in card.files]
    for name in dict.fromkeys([*(held for held in bundle.precisions if held != "fp32"), *own, *card.proofs]):
        passed = card.proofs.get(name, {}).get("passed")
        reason = "there is none" if name not in card.proofs else "did not pass"
        proofs[name] = "passed" if passed is True else f"{reason}, so auto does not take it"
    packaged = bundle.folder.parent == MODELS
    return {
        "name": f"{card.name} {card.version}",
        "folder": f"packaged as {bundle.folder.name}" if packaged else str(bundle.folder),
        "files": files,
        "precisions": bundle.precisions,
        "proofs": proofs,
        "golden_outputs": GOLDEN in card.files,
    }


def _choose(bundle: Bundle, device: str, precision: str, args: argparse.Namespace, problems: Problems) -> Choice | None:
    try:
        return choose(bundle, device, precision, args.threads, fresh=args.fresh)
    except Exception as error:
        problems[words(error)] = True
        return None


def _reasons(choice: Choice) -> Facts:
    way = f"{choice.device} {choice.precision}"
    return {"way": way, "why": choice.why, "milliseconds": choice.times, "refused": choice.refused}
