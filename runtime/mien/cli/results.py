"""Where the results of fer-run go: files, a window, the live page."""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

from mien.cli.publishing import check_addresses, open_publishers
from mien.drawing.faces import blur_faces, draw_faces
from mien.errors import InputError, OutputError
from mien.paths import for_system
from mien.recognizer import Recognizer
from mien.sinks.media import PictureSink, Window, save_to
from mien.sinks.mqtt import Mqtt
from mien.sinks.parquet import Parquet, check_parquet
from mien.sinks.paths import (
    Inputs,
    check_distinct,
    check_into,
    check_output,
    free_name,
    make_folder,
    names_folder,
)
from mien.sinks.records import Csv, JsonLines, Sink
from mien.sinks.summary import Summary, check_summary, summary_paths
from mien.sinks.webhook import Webhook
from mien.sources.base import Source
from mien.terminal import tell
from mien.types import Face, Frame
from mien.web import LivePage
from mien.web.address import listen

STILLS = ("image", "images")
"""Kinds of sources whose frames are independent."""


class Deferred:
    """A sink that ``make`` creates when the first frame comes, so that files of an earlier run survive until then.
    Threads may share it."""

    def __init__(self, make: Callable[[], Sink]):
        self._make = make
        self._sink: Sink | None = None
        self._lock = Lock()

    def write(self, frame: Frame, faces: Sequence[Face]) -> None:
        with self._lock:
            self._sink = self._sink or self._make()
            self._sink.write(frame, faces)

    def close(self) -> None:
        if self._sink:
            self._sink.close()


@dataclass(frozen=True)
class Prepared:
    """The outputs of one source alone, which are checked and not begun. ``summary``: the path of its file."""

    pictures: list[PictureSink]
    window: Window | None
    summary: str | None


@dataclass
class Results:
    """Where the frames and faces of one source go."""

    sinks: list[Sink]
    pictures: list[PictureSink]
    window: Window | None
    page: LivePage | None
    blur: bool

    @property
    def drawn(self) -> bool:
        """Whether any output needs the picture."""
        return bool(self.pictures or self.window or self.page)

    def note(self, frame: Frame, seconds: float) -> None:
        """Tell the live page how long it took from the arrival of ``frame`` to its written results."""
        if self.page:
            self.page.note(seconds, frame.name)

    def write(self, frame: Frame, faces: Sequence[Face], hidden: Sequence[Face]) -> None:
        """Pass a frame and its faces to all requested outputs."""
        for sink in self.sinks:
            sink.write(frame, faces)
        if self.page:
            self.page.write(frame, faces, hidden)
        if self.pictures:
            shown = blur_faces(frame.image, [*faces, *hidden]) if self.blur else frame.image
            drawn = replace(frame, image=draw_faces(shown, faces))
            for picture in self.pictures:
                picture.write(drawn)
        if self.window:
            self.window.write(replace(frame, image=draw_faces(frame.image, faces)))


class Outputs:
    """The requested outputs of a run, for all of its sources.

    JSON lines, CSV and Parquet are one file for all sources, because each record names its source. With several
    sources, ``--save`` and ``--summary`` are folders with a file for each.
    """

    def __init__(self, args: argparse.Namespace, read: Sequence[Path], *, several: bool):
        """``read``: the files of all sources. ``several``: whether there are several sources. Raises OutputError or
        InputError for everything that can be rejected before a source is opened, and before any result of an earlier
        run is touched."""
        self._args, self._several = args, several
        self._inputs = Inputs(read)
        self._taken: defaultdict[str, set[str]] = defaultdict(set)
        """Names that are in use already, by folder."""
        self._shared: list[Sink] | None = None
        self._publishers: list[Mqtt | Webhook] = []
        self._page: LivePage | None = None
        for option in ("offline", "show" if args.at_once else "serve"):
            if several and getattr(args, option):
                raise InputError(f"--{option} is for one source; give it one")
        for path in filter(None, (args.json, args.csv)):
            check_output(path, self._inputs)
        if args.parquet:
            check_parquet(args.parquet, self._inputs)
        for option, path in (("save", args.save), ("summary", args.summary)):
            if path and self._is_folder(path):
                if Path(path).is_file() or (Path(path).suffix and not names_folder(path)):
                    raise OutputError(f"--{option} {path}: several sources need a folder; end its name with {os.sep}")
                check_into(path, self._inputs)
        if args.summary and not self._is_folder(args.summary):
            check_summary(args.summary, self._inputs)
        check_distinct(self._files())
        check_addresses(args)
        if args.serve:
            listen(args.serve).close()

    def prepare(self, source: Source) -> Prepared:
        """Check the outputs for ``source``, which is open. Raises OutputError or InputError."""
        args = self._args
        if args.offline and source.kind != "video":
            raise InputError(f"--offline is only for video files, which {source.name} is not; leave it out")
        if args.serve and source.kind in STILLS:
            raise InputError(f"--serve is for videos and cameras, but {source.name} is a picture; use --save")
        if (args.mqtt or args.webhook) and source.kind in STILLS:
            option = "mqtt" if args.mqtt else "webhook"
            raise InputError(f"--{option} is for videos and cameras, but {source.name} is a picture; use --json")
        for path in filter(None, (args.save, args.summary)):
            if self._is_folder(path):
                make_folder(Path(path))
        stem = for_system(source.name) if args.at_once else None  # a name, of which nothing is to be cut off
        summary = args.summary
        if summary and self._is_folder(summary):
            base = stem or Path(for_system(source.name)).stem or "source"
            name = free_name(base, [".json", ".png"], self._names_in(summary))
            summary = str(Path(summary) / f"{name}.json")
        pictures = [save_to(args.save, source, self._names_in(args.save), stem)] if args.save else []
        window = Window(f"mien: {source.name}", wait=source.kind in STILLS) if args.show else None
        return Prepared(pictures, window, summary)

    def begin(
        self, source: Source, prepared: Prepared, recognizer: Recognizer, own: ExitStack, all_: ExitStack
    ) -> Results:
        """Create the outputs that ``prepare`` checked. ``own`` closes those of this source, ``all_`` the shared
        ones."""
        args = self._args
        if args.serve and not self._page:
            self.serve(source, recognizer, own)
        if self._shared is None:
            self._shared = [Deferred(partial(JsonLines, args.json))] if args.json else []
            self._shared += [Deferred(partial(Csv, args.csv, recognizer.labels))] if args.csv else []
            self._shared += [Deferred(partial(Parquet, args.parquet, recognizer.labels))] if args.parquet else []
            self._publishers = open_publishers(args, recognizer)
            self._shared += self._publishers
            for sink in self._shared:
                all_.callback(sink.close)
        path = prepared.summary
        summary: list[Sink] = [Deferred(partial(Summary, path, source.name, source.fps))] if path else []
        for opened in (*summary, *prepared.pictures, prepared.window):
            if opened:
                own.callback(opened.close)
        return Results([*self._shared, *summary], prepared.pictures, prepared.window, self._page, args.blur)

    def written(self) -> list[str]:
        """All requested files and folders."""
        return [os.path.abspath(path) for path in self._files()]

    def sent(self) -> list[str]:
        """How many messages went where."""
        return [
            f"{sink.sent} messages to {sink.shown}{f' ({sink.lost} lost)' if sink.lost else ''}"
            for sink in self._publishers
        ]

    def _is_folder(self, path: str) -> bool:
        return self._several or names_folder(path)

    def _names_in(self, folder: str) -> set[str]:
        return self._taken[os.path.realpath(folder)]

    def _files(self) -> list[str]:
        args = self._args
        summary: list[str] = []
        if args.summary:
            folder = self._is_folder(args.summary)
            summary = [args.summary] if folder else [str(path) for path in summary_paths(args.summary)]
        same = args.save and summary and os.path.realpath(args.save) == os.path.realpath(summary[0])
        named = (args.save, args.json, args.csv, args.parquet, *summary)
        return [
            path for path in (named[1:] if same and self._is_folder(args.save) else named) if path not in (None, "-")
        ]

    def serve(self, source: Source | Mapping[str, Source], recognizer: Recognizer, stack: ExitStack) -> None:
        """Open the live page, for one source or several, until ``stack`` is closed."""
        args = self._args
        token = args.token or os.environ.get("MIEN_TOKEN") or None
        self._page = page = LivePage(
            args.serve,
            source,
            engine=recognizer.engine,
            labels=recognizer.labels,
            affect=recognizer.card.has_affect,
            token=token,
            blur=args.blur,
        )
        stack.callback(page.close)
        tell(f"live page: {page.url}")
