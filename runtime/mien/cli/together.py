"""Several videos, cameras and streams at once in fer-run: all are opened before anything is read."""

from __future__ import annotations

import argparse
import os
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tqdm import tqdm

from mien.cli.console import Tally
from mien.cli.fer_run import Run, load
from mien.cli.inputs import STDIN
from mien.cli.results import Outputs, Results
from mien.cli.signals import Stop, aside
from mien.errors import InputError, SourceError
from mien.sources.addresses import local
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.sources.several import close_all, open_all
from mien.streams import StreamFrame, Streams
from mien.tracking.options import StreamOptions


class Together(Run):
    """A run that reads its sources at once. Each has a thread that also writes its results; files for all of them take
    turns."""

    def __init__(self, args: argparse.Namespace, stop: Stop):
        super().__init__(args, stop)
        self._count = len(args.at_once)
        self._lock = threading.Lock()
        self._frames = dict.fromkeys(args.at_once, 0)

    def read_all(self, stack: ExitStack) -> None:
        """Process all sources. One that fails while it is read is a warning while others can be read."""
        args = self._args
        with self._stop.at_once():
            self._outputs = outputs = Outputs(args, _paths(args), several=True)
            openers = {name: partial(_open, args, name) for name in args.at_once}
            sources = aside(partial(open_all, openers), close_all)
            stack.callback(close_all, sources)
            prepared = {name: outputs.prepare(source) for name, source in sources.items()}
            self._recognizer = recognizer = aside(partial(load, args), lambda _: None)
            options = StreamOptions(smoothing=args.smoothing, baseline=args.baseline)
            streams = Streams(recognizer, sources, options, args.temporal)
            if args.serve:
                outputs.serve(sources, recognizer, stack)
            results = {
                name: outputs.begin(source, prepared[name], recognizer, stack, stack)
                for name, source in sources.items()
            }
        self._tally = Tally()
        self.begun, self._endless = True, any(source.kind == "live" for source in sources.values())
        self._stop.source = streams
        counts = [min(filter(None, (source.count, args.max_frames)), default=None) for source in sources.values()]
        total = None if None in counts else sum(filter(None, counts))
        with tqdm(total=total, unit=" frames", disable=args.quiet or None, desc=f"{self._count} sources") as bar:
            try:
                streams.run(partial(self._take, bar, streams, results))
            except SourceError:
                self._left = list(streams.failed)
                if len(self._left) in (0, self._count):
                    raise
        self._dropped = sum(source.dropped for source in sources.values())
        self._decoders = {source.decoder for source in sources.values() if source.decoder}

    def _take(self, bar: tqdm[None], streams: Streams, results: dict[str, Results], seen: StreamFrame) -> None:
        """Write one frame, on the thread of its source."""
        started, own = time.perf_counter(), results[seen.source]
        own.write(seen.frame, seen.faces, seen.hidden)
        own.note(seen.frame, seen.seconds + time.perf_counter() - started)
        sources = streams.sources
        with self._lock:
            self._tally.add(seen.faces)
            lost = [name for name, source in sources.items() if source.state == "lost"]
            status = self._tally.status(seen.faces, sum(source.dropped for source in sources.values()))
            bar.set_postfix_str(status + (f", lost: {', '.join(lost)}" if lost else ""), refresh=False)
            bar.update()
        self._frames[seen.source] += 1
        if self._frames[seen.source] == self._args.max_frames:
            sources[seen.source].stop()


def _paths(args: argparse.Namespace) -> list[Path]:
    """The files among the sources. InputError for standard input."""
    if any(str(source) in STDIN for source in args.at_once.values()):
        raise InputError("standard input (-) has to be read whole before it is used; save it as a file, and name that")
    paths = [Path(os.path.expanduser(local(source))) for source in args.at_once.values()]
    return [path for path in paths if path.exists()]


def _open(args: argparse.Namespace, name: str) -> Source:
    source = open_source(args.at_once[name], loop=args.loop, rotate=args.rotate, flip=args.flip, every=args.every)
    source.name = name
    return source
