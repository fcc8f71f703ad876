"""``fer-run``: facial expression from pictures, videos and cameras, on the command line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from tqdm import tqdm

from mien.annotated import PictureSink, Window, save_to
from mien.demo import demo_picture
from mien.draw import blur_faces, draw_faces
from mien.errors import InputError, MienError, SourceError
from mien.faces import Face, Frame
from mien.interruptions import Stop, messages, stoppable
from mien.journal import Journal, check_summary, summary_paths
from mien.offline import Item, Offline
from mien.opening import open_source
from mien.options import parse_args
from mien.outputs import check_distinct, check_output
from mien.recognizer import Recognizer
from mien.report import Tally, table
from mien.sinks import Csv, JsonLines, Sink
from mien.sources import Source
from mien.stream import Stream, engine_failed
from mien.web import LivePage
from mien.web.address import listen

STILLS = ("image", "images")


@dataclass
class Job:
    """What one run works with. ``stream`` is None for single pictures, ``page`` where nothing is served, ``offline``
    where frames do not wait."""

    source: Source
    recognizer: Recognizer
    stream: Stream | None
    offline: Offline | None
    sinks: list[Sink]
    pictures: list[PictureSink]
    window: Window | None
    page: LivePage | None


def run(args: argparse.Namespace) -> int:
    """Read the source to its end, or until it is stopped. Returns the exit code; what went wrong stands on stderr."""
    job = None
    try:
        with messages(), stoppable() as stop, ExitStack() as stack:
            job = _open(args, stack, stop)
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


def _open(args: argparse.Namespace, stack: ExitStack, stop: Stop) -> Job:
    """Everything that can be wrong with the request fails here, before any result of an earlier run is touched."""
    if args.demo:
        args.source, args.save = demo_picture(), args.save or "demo.jpg"
    source = open_source(args.camera if args.source is None else args.source, loop=args.loop)
    stop.source = stack.enter_context(source)
    if args.offline and source.kind != "video":
        raise InputError(f"--offline is for video files, and {source.name} is none; leave it out")
    if args.serve and source.kind in STILLS:
        raise InputError(f"--serve shows what moves, and {source.name} is a picture; use --save")
    for path in filter(None, (args.json, args.csv)):
        check_output(path, source)
    if args.summary:
        check_summary(args.summary, source)
    check_distinct(_files(args))
    if args.serve:
        listen(args.serve).close()
    pictures: list[PictureSink] = [save_to(args.save, source)] if args.save else []
    window = Window(f"mien: {source.name}", wait=source.kind in STILLS) if args.show else None
    recognizer = Recognizer(
        args.model,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        min_face=args.min_face,
        min_confidence=args.min_confidence,
        personal=args.personal,
    )
    stream = None
    if source.kind not in STILLS:
        stream = stack.enter_context(
            recognizer.stream(
                temporal=False if args.offline else args.temporal,
                smoothing=args.smoothing,
                baseline=0.0 if args.offline else args.baseline,
            )
        )
    offline = recognizer.offline(temporal=args.temporal, baseline=args.baseline) if args.offline else None
    page = _serve(args, source, recognizer) if args.serve else None
    sinks: list[Sink] = []
    if args.json:
        sinks.append(JsonLines(args.json))
    if args.csv:
        sinks.append(Csv(args.csv, recognizer.labels))
    if args.summary:
        sinks.append(Journal(args.summary, source.name))
    for opened in [page, *sinks, *pictures, window]:
        if opened:
            stack.callback(opened.close)
    return Job(source, recognizer, stream, offline, sinks, pictures, window, page)


def _serve(args: argparse.Namespace, source: Source, recognizer: Recognizer) -> LivePage:
    token = args.token or os.environ.get("MIEN_TOKEN") or None
    page = LivePage(args.serve, source, engine=recognizer.engine, labels=recognizer.labels, token=token, blur=args.blur)
    print(f"live page: {page.url}", file=sys.stderr)
    return page


def _read(job: Job, args: argparse.Namespace, stop: Stop) -> Tally:
    still = job.source.kind in STILLS
    silent = args.quiet or "-" in (args.json, args.csv)
    asked = args.save or args.json or args.csv or args.summary
    tables = not silent and still and (job.source.kind == "image" or not asked)
    total = min(filter(None, (job.source.count, args.max_frames)), default=None)
    tally = Tally()
    # tqdm's None: no bar where stderr is no terminal.
    hidden = args.quiet or job.source.kind == "image" or None
    with tqdm(total=total, unit=" frames", disable=hidden) as bar, _finishing(job, args, tally):
        for frame, faces in _faces(job, stop.heeded_by(islice(job.source, args.max_frames))):
            started = time.perf_counter()
            for item in _done(job, frame, faces):
                _write(job, *item, blur=args.blur)
                tally.add(item[1])
            if job.page and job.stream:
                job.page.note(sum(job.stream.timings.values()) + time.perf_counter() - started)
            if tables:
                tqdm.write(table(frame, faces), file=sys.stdout)
            bar.set_postfix_str(tally.status(faces, job.source.dropped), refresh=False)
            bar.update()
            if job.window and job.window.closed:
                break
    return tally


@contextmanager
def _finishing(job: Job, args: argparse.Namespace, tally: Tally) -> Iterator[None]:
    """At the end, also where the source breaks off, write the frames that still wait."""
    broken: SourceError | None = None
    try:
        yield
    except SourceError as error:
        broken = error
    for item in job.offline.finish() if job.offline else ():
        _write(job, *item, blur=args.blur)
        tally.add(item[1])
    if broken:
        raise broken


def _done(job: Job, frame: Frame, faces: list[Face]) -> list[Item]:
    """What can be written now that ``frame`` is read: itself, or frames before it that waited for it."""
    hidden = job.stream.hidden if job.stream else []
    if not job.offline:
        return [(frame, faces, hidden)]
    drawn = job.pictures or job.window or job.page
    return job.offline.push(frame if drawn else replace(frame, image=frame.image[:0]), faces, hidden)


def _write(job: Job, frame: Frame, faces: Sequence[Face], hidden: Sequence[Face], *, blur: bool) -> None:
    """Hand one frame and its faces to everything that was asked for."""
    for sink in job.sinks:
        sink.write(frame, faces)
    if job.page:
        job.page.write(frame, faces, hidden)
    if job.pictures:
        shown = blur_faces(frame.image, [*faces, *hidden]) if blur else frame.image
        drawn = replace(frame, image=draw_faces(shown, faces))
        for picture in job.pictures:
            picture.write(drawn)
    if job.window:
        job.window.write(replace(frame, image=draw_faces(frame.image, faces)))


def _faces(job: Job, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Face]]]:
    """Each frame with its faces: a file's two at a time, a live source's at once."""
    if job.stream and job.source.kind == "video":
        yield from job.stream.read(frames)
        return
    for frame in frames:
        try:
            faces = job.stream.update(frame.image, frame.time) if job.stream else job.recognizer.predict(frame.image)
        except MienError:
            raise
        except Exception as error:  # the engines' errors share no class
            raise engine_failed(job.recognizer.engine, frame, error) from error
        yield frame, faces


def _summarise(tally: Tally, job: Job, args: argparse.Namespace) -> None:
    out = sys.stderr if "-" in (args.json, args.csv) else sys.stdout
    print(tally.summary(job.recognizer.engine, job.source.dropped), file=out)
    written = [os.path.abspath(path) for path in _files(args)]
    if written:
        print(f"written: {', '.join(written)}", file=out)


def _files(args: argparse.Namespace) -> list[str]:
    """Every file or folder that was asked for."""
    summary = map(str, summary_paths(args.summary)) if args.summary else ()
    return [path for path in (args.save, args.json, args.csv, *summary) if path not in (None, "-")]
