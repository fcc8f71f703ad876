"""``fer-bench``: how fast the model, the detector and the whole pipeline are on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from mien import terminal as console
from mien.bench.clip import check_clip
from mien.bench.report import header, measure, say
from mien.bench.table import picture
from mien.bundle import FILES, Bundle, find_bundle
from mien.diagnostics.machine import Facts
from mien.drawing.plot import save_png
from mien.engines import DEVICES
from mien.errors import EngineUnavailable, InputError, MienError, ModelInvalid, OutputError, SourceError
from mien.files import write_whole
from mien.sinks.paths import check_folder
from mien.sources.video import quiet_opencv

EPILOG = """Things that are compared are measured in turns. cores, and rates per core, are computed from the processor
time of all threads of the process (time.process_time); threads of engines use some more while they wait for the next
call. speed is relative to ONNX Runtime's CPU in fp32 with one thread and batch 1. For the clip, decode is the time
spent waiting for a frame; memory is that of a process that does nothing else.

exit codes: 0 success; 1 failed; 2 bad usage or input; 130 stopped with Ctrl-C, 143 with SIGTERM: what was measured
until then is printed, and no file is written."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options. Bad usage ends the program with code 2."""
    parser = argparse.ArgumentParser(
        prog="fer-bench",
        description="Measure how fast the model, the detector and the whole pipeline are. Takes about half a minute.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", metavar="M", default="default", help="packaged model, or the folder of a bundle")
    parser.add_argument("--device", choices=("auto", *DEVICES), default="auto", help="only this one (default: all)")
    parser.add_argument("--precision", choices=("auto", *FILES), default="auto", help="only this one (default: all)")
    parser.add_argument("--threads", metavar="LIST", type=_numbers, help="for example 1,2,4 (default: 1 and all cores)")
    parser.add_argument("--batch", metavar="LIST", type=_numbers, default=[1, 8], help="crops per call (default: 1,8)")
    parser.add_argument("--clip", metavar="FILE", help="a video (default: a drawn one with one face)")
    parser.add_argument(
        "--seconds", metavar="S", type=float, default=0.5, help="seconds of calls per row (default: 0.5)"
    )
    parser.add_argument("--json", metavar="PATH", help="the report as JSON; - for stdout")
    parser.add_argument("--plot", metavar="FILE.png", help="the report as a picture")
    parser.add_argument("--quiet", action="store_true", help="no tables, only warnings and errors")
    parser.add_argument("--version", action="version", version=f"mien {version('mien')}")
    args = parser.parse_args(argv)
    if "" in (args.clip, args.json, args.plot):
        parser.error("--clip, --json and --plot need the name of a file, but one is empty")
    if not 0 < args.seconds <= 3600:
        parser.error(f"--seconds is {args.seconds}; use a number above 0, up to 3600")
    if args.plot and not args.plot.lower().endswith(".png"):
        parser.error(f"--plot {args.plot} must end in .png")
    if args.plot and args.plot == args.json:
        parser.error("--json and --plot name the same output")
    args.command = shlex.join(["fer-bench", *(sys.argv[1:] if argv is None else argv)])
    return args


def run(args: argparse.Namespace) -> int:
    """Measure, and print the results. Returns the exit code; errors are printed on stderr."""
    report: Facts | None = None
    quiet_opencv()
    try:
        bundle, clip = _check(args)
        report = header(args)
        measure(report, args, bundle, clip)
        _write(report, args)
    except MienError as error:
        console.failed("fer-bench", error)
        return (
            2 if report is None or isinstance(error, (SourceError, InputError, EngineUnavailable, ModelInvalid)) else 1
        )
    return 0


def work() -> int:
    """Parse the options and run. Returns the exit code."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell disables it for background processes
    try:
        return run(parse_args())
    except KeyboardInterrupt:
        console.tell("fer-bench: stopped; no file was written")
        return 128 + signal.SIGINT


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _check(args: argparse.Namespace) -> tuple[Bundle, Facts | None]:
    """The bundle and the clip. Everything that can be wrong with the request fails here, before minutes are spent."""
    for path in filter(lambda path: path not in (None, "-"), (args.json, args.plot)):
        if Path(path).is_dir():
            raise OutputError(f"{path} is a folder; give the name of a file")
        check_folder(Path(path).absolute().parent)
        if args.clip and Path(path).exists() and Path(args.clip).exists() and Path(path).samefile(args.clip):
            raise OutputError(f"{path} is the clip that is read and would be overwritten; choose another name")
    clip = None
    if args.clip is not None:
        clip = {"path": args.clip, "drawn": False, **check_clip(args.clip)}
    return find_bundle(args.model), clip


def _write(report: Facts, args: argparse.Namespace) -> None:
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    if args.plot:
        save_png(picture(report), Path(args.plot))
    if args.json == "-":
        console.say(text.rstrip())
    elif args.json:
        write_whole(Path(args.json), text.encode())
    written = [os.path.abspath(path) for path in (args.json, args.plot) if path not in (None, "-")]
    if written:
        say(args, f"\nwritten: {', '.join(written)}")


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and 0 < int(part) <= 1024 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers from 1 to 1024, such as 1,2,4")
    return list(dict.fromkeys(int(part) for part in parts))
