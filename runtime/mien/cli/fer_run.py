"""A run of fer-run: processes its sources one after the other with one recognizer, and writes all requested results."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from tqdm import tqdm

from mien.cli.console import Tally, table
from mien.cli.inputs import Wanted, wanted
from mien.cli.results import STILLS, Outputs, Results
from mien.cli.signals import Stop, Stopped, aside, messages, stoppable
from mien.errors import InputError, MienError, SourceError
from mien.recognizer import Recognizer
from mien.sources.base import Source
from mien.sources.demo import demo_picture
from mien.sources.factory import open_source
from mien.streams import stream_for
from mien.terminal import failed, say, tell
from mien.tracking.offline import Item, Offline
from mien.tracking.options import StreamOptions
from mien.tracking.stream import Stream, engine_failed
from mien.types import Face, Frame

log = logging.getLogger(__name__)


@dataclass
class Job:
    """A source and what processes it. ``stream`` is None for pictures, ``offline`` is None unless requested."""

    source: Source
    recognizer: Recognizer
    stream: Stream | None
    offline: Offline | None
    results: Results


def run(args: argparse.Namespace, way: type[Run] | None = None) -> int:
    """Process the sources to their end, or until stopped. Returns the exit code; errors are printed on stderr.

    ``way``: how; by default one after the other.
    """
    work = None
    try:
        with messages(), stoppable() as stop, ExitStack() as stack:
            work = (way or Run)(args, stop)
            work.read_all(stack)
    except Stopped:
        pass
    except MienError as error:
        failed("fer-run", error)
        return 2 if work is None or not work.begun or isinstance(error, (SourceError, InputError)) else 1
    return work.end() if work else 128 + stop.signal


class Run:
    """A run. ``begun``: whether a source was opened, the model loaded and processing started."""

    def __init__(self, args: argparse.Namespace, stop: Stop):
        self.begun = False
        self._args, self._stop = args, stop
        self._tally = Tally()
        self._recognizer: Recognizer | None = None
        self._outputs: Outputs | None = None
        self._left: list[str] = []
        self._count, self._dropped, self._endless, self._closed = 0, 0, False, False
        self._decoders: set[str] = set()

    def read_all(self, stack: ExitStack) -> None:
        """Process one source after the other. If there are several, one that cannot be read is only a warning;
        otherwise MienError."""
        args = self._args
        if args.demo:
            args.sources, args.save = [demo_picture()], args.save or "demo.jpg"
        with self._stop.at_once():
            open_one = partial(open_source, loop=args.loop, rotate=args.rotate, flip=args.flip, every=args.every)
            queue = wanted(args.sources, open_one, stack, recursive=args.recursive)
            self._count = len(queue)
            paths = [path for item in queue for path in item.paths]
            self._outputs = Outputs(args, paths, several=self._count > 1)
        for number, item in enumerate(queue, 1):
            with ExitStack() as own, self._excusing(item):
                self._read(self._begin(item, own, stack), f"{number}/{self._count}" if self._count > 1 else "")
            if self._stop.signal or self._closed:
                return
        if len(self._left) == self._count:
            raise SourceError(f"none of the {self._count} sources could be read")

    def end(self) -> int:
        """Print a summary, and return the exit code."""
        args, stopped = self._args, self._stop.signal
        if not args.quiet and self._recognizer and self._tally.frames:
            out = tell if "-" in (args.json, args.csv) else say
            read = self._count - len(self._left)
            of = f" of {read} source{'s' * (read != 1)}" if self._count > 1 else ""
            out(self._tally.summary(self._recognizer.engine, self._dropped, of, sorted(self._decoders)))
            if self._outputs and (written := self._outputs.written()):
                out(f"written: {', '.join(written)}")
            if self._outputs and (sent := self._outputs.sent()):
                out(f"sent: {', '.join(sent)}")
        elif stopped and not args.quiet:
            tell("fer-run: stopped before the first frame; nothing was written")
        if self._left:
            tell(f"fer-run: error: {len(self._left)} of {self._count} sources failed: {', '.join(self._left)}")
        if stopped and not self._endless:
            return 128 + stopped
        return 1 if self._left else 0

    @contextmanager
    def _excusing(self, item: Wanted) -> Iterator[None]:
        """If there are several sources, continue after one that cannot be read."""
        try:
            yield
        except (SourceError, InputError) as error:
            if self._count == 1:
                raise
            log.warning("%s", error)
            self._left.append(item.name)

    def _begin(self, item: Wanted, own: ExitStack, stack: ExitStack) -> Job:
        """Prepare a source. Everything that can be wrong with the request fails here, before any result of an earlier
        run is touched."""
        args, outputs = self._args, self._outputs
        assert outputs is not None
        with self._stop.at_once():
            source = aside(item.open, lambda late: late.close())
            own.enter_context(source)
            source.name = args.name or source.name
            if source.kind == "live" and self._count > 1:
                raise InputError(f"{source.name} has no end, so the sources after it would wait forever; skipped")
            prepared = outputs.prepare(source)
            self._recognizer = recognizer = self._recognizer or aside(partial(load, args), lambda _: None)
            stream = None
            if source.kind not in STILLS:
                options = StreamOptions(smoothing=args.smoothing, baseline=0.0 if args.offline else args.baseline)
                temporal = False if args.offline else args.temporal
                stream = own.enter_context(stream_for(recognizer, source, options, temporal=temporal))
            offline = recognizer.offline(temporal=args.temporal, baseline=args.baseline) if args.offline else None
            results = outputs.begin(source, prepared, recognizer, own, stack)
        if not self.begun:
            self._tally = Tally()  # so that its time excludes the preparation
        self.begun, self._endless = True, source.kind == "live"
        self._stop.source = source
        return Job(source, recognizer, stream, offline, results)

    def _read(self, job: Job, which: str) -> None:
        args, source = self._args, job.source
        still = source.kind in STILLS
        silent = args.quiet or "-" in (args.json, args.csv)
        writes = args.save or args.json or args.csv or args.parquet or args.summary
        tables = not silent and still and (source.kind == "image" or not writes)
        total = min(filter(None, (source.count, args.max_frames)), default=None)
        # tqdm's None: no bar unless stderr is a terminal.
        hidden = args.quiet or source.kind == "image" or None
        with tqdm(total=total, unit=" frames", disable=hidden, desc=which or None) as bar, self._finishing(job):
            for frame, faces in _faces(job, self._stop.heeded_by(islice(source, args.max_frames))):
                started = time.perf_counter()
                for item in _done(job, frame, faces):
                    self._write(job, item)
                if job.stream:
                    job.results.note(frame, sum(job.stream.timings.values()) + time.perf_counter() - started)
                if tables:
                    say(table(frame, faces))
                bar.set_postfix_str(self._tally.status(faces, source.dropped), refresh=False)
                bar.update()
                if job.results.window and job.results.window.closed:
                    self._closed = True
                    break
        self._dropped += source.dropped
        self._decoders |= {source.decoder} if source.decoder else set()

    @contextmanager
    def _finishing(self, job: Job) -> Iterator[None]:
        """At the end, write the frames that still wait, even if the source failed."""
        failure: SourceError | None = None
        try:
            yield
        except SourceError as error:
            failure = error
        for item in job.offline.finish() if job.offline else ():
            self._write(job, item)
        if failure:
            raise failure

    def _write(self, job: Job, item: Item) -> None:
        job.results.write(*item)
        self._tally.add(item[1])


def load(args: argparse.Namespace) -> Recognizer:
    """The recognizer that the options ask for."""
    return Recognizer(
        args.model,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        min_face=args.min_face,
        min_confidence=args.min_confidence,
        exclude=args.exclude,
        personal=args.personal,
    )


def _done(job: Job, frame: Frame, faces: list[Face]) -> list[Item]:
    """The frames that can be written now: ``frame``, or those before it that waited for it."""
    hidden = job.stream.hidden if job.stream else []
    if not job.offline:
        return [(frame, faces, hidden)]
    return job.offline.push(frame if job.results.drawn else replace(frame, image=frame.image[:0]), faces, hidden)


def _faces(job: Job, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Face]]]:
    """Each frame with its faces: two frames in parallel for a file, one at a time for a live source."""
    if job.stream and job.source.kind == "video":
        yield from job.stream.read(frames)
        return
    for frame in frames:
        try:
            faces = job.stream.update(frame.image, frame.time) if job.stream else job.recognizer.predict(frame.image)
        except MienError:
            raise
        except Exception as error:  # the engines' errors have no common class
            raise engine_failed(job.recognizer.engine, frame, error) from error
        yield frame, faces
