"""The options of ``fer-run``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from mien.cli.model_options import add_model, add_recognition
from mien.cli.numbers import add_threads, positive, seconds
from mien.cli.parser import Parser
from mien.cli.publishing import add_publishing, check_publishing
from mien.cli.source_options import add_sources, add_turning, check_sources

EXAMPLES = """examples:
  fer-run --demo                                      try it: prints a table, writes demo.jpg
  fer-run portrait.jpg --save read.jpg                one picture
  fer-run holiday/ --recursive --csv faces.csv        all pictures and videos in a folder and its subfolders
  fer-run talk.mp4 --save read.mp4 --json -           a video; one JSON line per face on stdout
  fer-run 'day*.mp4' a.jpg --json - --save read/      several, one after the other
  curl -s https://example.org/a.jpg | fer-run -       standard input
  fer-run --camera 0 --show                           the first camera, in a window (q closes it)
  fer-run --camera 0 --serve 8080                     a live page at http://127.0.0.1:8080
  fer-run --source front=0 --source door=rtsp://10.0.0.5/stream --json -   two cameras at once
  fer-run talk.mp4 --summary talk.json                who showed which expression for how long, and a plot
  fer-run rtsp://user:pass@10.0.0.5/stream --json faces.jsonl

exit codes: 0 success, also for a camera or stream that was stopped with Ctrl-C; 1 failed, or some of several sources
could not be read; 2 bad usage or input; 130 (Ctrl-C) or 143 (SIGTERM) if a file was stopped before its end, or anything
before its first frame. What was written until then is complete; files of an earlier run are replaced when the first
frame has been processed."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options. Bad usage ends the program with code 2."""
    parser = Parser(
        prog="fer-run",
        description="Recognize facial expression, valence and arousal in pictures, videos and cameras.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_sources(parser)
    out = parser.add_argument_group("what to write (without any: a table, or a summary)")
    out.add_argument(
        "--save", metavar="PATH", help="annotated picture or video (.mp4, .mov, .mkv, .avi), or a folder/ for several"
    )
    out.add_argument("--json", metavar="PATH", help="JSON lines, one per face; - for stdout")
    out.add_argument("--csv", metavar="PATH", help="CSV, one row per face; - for stdout")
    out.add_argument(
        "--parquet",
        metavar="PATH",
        help="Parquet, one row per face: a file that is complete at the end, or a folder/ to which one is added every "
        "minute",
    )
    out.add_argument(
        "--summary",
        metavar="PATH",
        help="JSON with the time that each person spent in each expression, and a plot beside it; for several sources "
        "a folder/",
    )
    out.add_argument("--show", action="store_true", help="open a window; q or Esc closes it")
    out.add_argument("--serve", metavar="[HOST:]PORT", help="serve a live page; without HOST only on this machine")
    out.add_argument(
        "--token",
        metavar="T",
        help="secret that viewers of the live page must enter (default: MIEN_TOKEN from the environment)",
    )
    out.add_argument("--blur", action="store_true", help="hide faces in what is saved or served")
    out.add_argument("--quiet", action="store_true", help="print only warnings and errors")
    add_publishing(parser)
    how = parser.add_argument_group("how")
    add_model(how)
    add_threads(how)
    add_recognition(how)
    how.add_argument(
        "--baseline",
        metavar="S",
        type=seconds,
        default=0.0,
        help="subtract what each face shows in its first S seconds, when it should be at rest (default: 0)",
    )
    how.add_argument(
        "--offline",
        action="store_true",
        help="recognize each frame of a video file with the frames before and after it, 1.2 s later",
    )
    add_turning(how)
    how.add_argument(
        "--every",
        metavar="SECONDS",
        type=seconds,
        help="seconds from one fetch of the http address of a single picture to the next (default: 1)",
    )
    how.add_argument("--loop", action="store_true", help="repeat a video file forever, as if it were a camera")
    how.add_argument("--max-frames", metavar="N", type=positive, help="stop after N frames of each source")
    parser.add_argument("--version", action="version", version=f"mien {version('mien')}")
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)  # argparse does not support it between options
    args = parser.parse_intermixed_args(words[:end])
    args.sources = [*args.sources, *words[end + 1 :]]
    check_sources(parser, args)
    for name in ("save", "json", "csv", "parquet", "summary", "serve", "token", "personal", "mqtt", "webhook"):
        if getattr(args, name) == "":
            parser.error(f"--{name} is empty; leave it out, or say where")
    if args.json and args.json == args.csv:
        parser.error("--json and --csv name the same output")
    if args.save == "-":
        parser.error("--save needs a path; only --json and --csv can write to stdout")
    if args.offline and args.loop:
        parser.error("--offline is for recorded video; leave out --loop")
    if args.recursive and (args.demo or args.at_once):
        parser.error("--recursive is for folders; leave it out")
    if args.token and not args.serve:
        parser.error("--token is for --serve")
    check_publishing(parser, args)
    return args
