"""``fer-run``: facial expression from pictures, videos and cameras, on the command line."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from types import FrameType

import cv2
from tqdm import tqdm

from mien.annotated import PictureSink, Window, save_to
from mien.bundle import FILES
from mien.demo import demo_picture
from mien.draw import draw_faces
from mien.engines import DEVICES
from mien.errors import InputError, MienError, SourceError
from mien.faces import Face, Frame
from mien.recognizer import Recognizer
from mien.report import Tally, table
from mien.sinks import Csv, JsonLines, Sink, check_output
from mien.sources import Source, open_source

STILLS = ("image", "images")
EXAMPLES = """examples:
  fer-run --demo                                      try it: prints a table, writes demo.jpg
  fer-run --source portrait.jpg --save read.jpg       one picture
  fer-run --source holiday/ --csv faces.csv           all pictures of a folder
  fer-run --source talk.mp4 --save read.mp4 --json -  a video; one JSON line a face on stdout
  fer-run --camera 0 --show                           the first camera, in a window (q closes it)
  fer-run --source rtsp://user:pass@10.0.0.5/stream --json faces.jsonl

exit codes: 0 fine, also for a camera or stream that was stopped with Ctrl-C; 1 failed; 2 bad usage or input;
130 (Ctrl-C) or 143 (SIGTERM) where a file was stopped before its end. What was written until then is whole."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options. Bad usage ends the program with code 2."""
    parser = argparse.ArgumentParser(
        prog="fer-run",
        description="Read facial expression, valence and arousal from pictures, videos and cameras.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to read (one of these)").add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--source",
        metavar="X",
        help="picture, folder, 'glob*.jpg', video, rtsp:// or http:// address, camera number, or GStreamer pipeline",
    )
    what.add_argument("--camera", metavar="N", type=_natural, help="camera number, mostly 0")
    what.add_argument("--demo", action="store_true", help="a portrait that scikit-image brings")
    out = parser.add_argument_group("what to write (without any: a table, or a summary)")
    out.add_argument("--save", metavar="PATH", help="annotated picture, video (.mp4, .avi) or folder")
    out.add_argument("--json", metavar="PATH", help="JSON lines, one a face; - for stdout")
    out.add_argument("--csv", metavar="PATH", help="CSV, one row a face; - for stdout")
    out.add_argument("--show", action="store_true", help="open a window; q or Esc closes it")
    out.add_argument("--quiet", action="store_true", help="only warnings and errors")
    how = parser.add_argument_group("how")
    how.add_argument("--model", metavar="M", default="default", help="packaged model, or the folder of a bundle")
    how.add_argument("--device", choices=("auto", *DEVICES), default="auto", help="what runs the model (default: auto)")
    how.add_argument("--precision", choices=("auto", *FILES), default="auto", help="of the model (default: auto)")
    how.add_argument("--threads", metavar="N", type=_positive, help="of the model (default: all cores)")
    how.add_argument(
        "--min-face",
        metavar="PX",
        type=float,
        default=0.0,
        help="smallest face to find, in px (default: about a fortieth of the picture)",
    )
    how.add_argument("--max-frames", metavar="N", type=_positive, help="stop after so many frames")
    parser.add_argument("--version", action="version", version=f"mien {version('mien')}")
    args = parser.parse_args(argv)
    if args.json and args.json == args.csv:
        parser.error("--json and --csv name the same output")
    if args.save == "-":
        parser.error("--save needs a path; only --json and --csv can write to stdout")
    return args


@dataclass
class Job:
    """What one run works with."""

    source: Source
    recognizer: Recognizer
    sinks: list[Sink]
    pictures: list[PictureSink]
    window: Window | None


class Stop:
    """Set by the first Ctrl-C or SIGTERM, which lets the frame in work be finished; a second one ends at once."""

    signal = 0

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number


def run(args: argparse.Namespace) -> int:
    """Read the source to its end, or until it is stopped. Returns the exit code; what went wrong stands on stderr."""
    job = None
    try:
        with _messages(), _stoppable() as stop, ExitStack() as stack:
            job = _open(args, stack)
            tally = _read(job, args, stop)
    except MienError as error:
        print(f"fer-run: error: {error}", file=sys.stderr)
        return 2 if job is None or isinstance(error, (SourceError, InputError)) else 1
    if not args.quiet:
        _summarise(tally, job, args)
    return 128 + stop.signal if stop.signal and job.source.kind != "live" else 0


def main() -> None:
    try:
        code = run(parse_args())
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:  # as in fer-run --json - | head: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _open(args: argparse.Namespace, stack: ExitStack) -> Job:
    """Everything that can be wrong with the request fails here, before any result of an earlier run is touched."""
    if args.demo:
        args.source, args.save = demo_picture(), args.save or "demo.jpg"
    source = open_source(args.camera if args.source is None else args.source)
    stack.enter_context(source)
    for path in filter(None, (args.json, args.csv)):
        check_output(path, source)
    pictures: list[PictureSink] = [save_to(args.save, source)] if args.save else []
    window = Window(f"mien: {source.name}", wait=source.kind in STILLS) if args.show else None
    recognizer = Recognizer(
        args.model, device=args.device, precision=args.precision, threads=args.threads, min_face=args.min_face
    )
    sinks: list[Sink] = []
    if args.json:
        sinks.append(JsonLines(args.json))
    if args.csv:
        sinks.append(Csv(args.csv, recognizer.labels))
    if window:
        pictures.append(window)
    for sink in sinks:
        stack.callback(sink.close)
    for picture in pictures:
        stack.callback(picture.close)
    return Job(source, recognizer, sinks, pictures, window)


def _read(job: Job, args: argparse.Namespace, stop: Stop) -> Tally:
    still = job.source.kind in STILLS
    silent = args.quiet or "-" in (args.json, args.csv)
    tables = not silent and still and (job.source.kind == "image" or not (args.save or args.json or args.csv))
    total = min(filter(None, (job.source.count, args.max_frames)), default=None)
    tally = Tally()
    # tqdm's None: no bar where stderr is no terminal.
    with tqdm(total=total, unit=" frames", disable=args.quiet or job.source.kind == "image" or None) as bar:
        for frame in islice(job.source, args.max_frames):
            faces = _predict(job.recognizer, frame)
            for sink in job.sinks:
                sink.write(frame, faces)
            if job.pictures:
                drawn = replace(frame, image=draw_faces(frame.image, faces))
                for picture in job.pictures:
                    picture.write(drawn)
            if tables:
                tqdm.write(table(frame, faces), file=sys.stdout)
            tally.add(faces)
            bar.set_postfix_str(tally.status(faces), refresh=False)
            bar.update()
            if stop.signal or (job.window and job.window.closed):
                break
    return tally


def _predict(recognizer: Recognizer, frame: Frame) -> list[Face]:
    try:
        return recognizer.predict(frame.image)
    except MienError:
        raise
    except Exception as error:  # the engines' errors share no class
        where = f"frame {frame.index} of {frame.name}"
        raise MienError(f"{recognizer.engine} failed on {where}: {error}; try --device cpu") from error


def _summarise(tally: Tally, job: Job, args: argparse.Namespace) -> None:
    out = sys.stderr if "-" in (args.json, args.csv) else sys.stdout
    print(tally.summary(job.recognizer.engine), file=out)
    written = [os.path.abspath(path) for path in (args.save, args.json, args.csv) if path not in (None, "-")]
    if written:
        print(f"written: {', '.join(written)}", file=out)


def _natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0; for other sources use --source")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


class _Warnings(logging.Handler):
    """Warnings on stderr, above the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(f"fer-run: warning: {record.getMessage()}", file=sys.stderr)


@contextmanager
def _messages() -> Iterator[None]:
    """mien's warnings in place of those of OpenCV, FFmpeg and the codecs, which name no remedy."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    set_level(0)
    handler, logger = _Warnings(logging.WARNING), logging.getLogger("mien")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def _stoppable() -> Iterator[Stop]:
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
