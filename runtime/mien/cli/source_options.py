"""The options of ``fer-run`` that name sources, and those that turn their pictures."""

from __future__ import annotations

import argparse

from mien.cli.numbers import whole
from mien.errors import InputError
from mien.sources.several import by_name, default_name, split_name


def add_sources(parser: argparse.ArgumentParser) -> None:
    """The options that name sources."""
    what = parser.add_argument_group("what to read (sources, a camera or the demo)")
    what.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="*",
        help="picture, video, folder, 'glob*', - for standard input, rtsp:// or http:// address, camera number, or "
        "GStreamer pipeline; several are read one after the other",
    )
    what.add_argument(
        "--source",
        metavar="[NAME=]SOURCE",
        dest="at_once",
        action="append",
        type=_source,
        default=[],
        help="a source; several videos, cameras and streams that are given so are read at once, and NAME stands for "
        "the source in all results",
    )
    what.add_argument("--recursive", action="store_true", help="include the subfolders of folders")
    what.add_argument(
        "--camera",
        metavar="N",
        dest="at_once",
        action="append",
        type=_camera,
        help="number of a camera; the first is 0. Several are read at once",
    )
    what.add_argument("--demo", action="store_true", help="read a portrait that comes with scikit-image")


def add_turning(group: argparse._ArgumentGroup) -> None:
    """The options ``--rotate`` and ``--flip``."""
    group.add_argument(
        "--rotate",
        metavar="DEGREES",
        type=int,
        choices=(0, 90, 180, 270),
        default=0,
        help="turn all pictures clockwise by 90, 180 or 270, for a camera that is mounted sideways (default: 0)",
    )
    group.add_argument("--flip", action="store_true", help="mirror all pictures left to right, after --rotate")


def check_sources(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Set ``sources``, what is read one after the other; ``at_once``, what is read at once, by its names, or empty; and
    ``name``, that of a single source, or None."""
    given: list[tuple[str | None, str | int]] = args.at_once
    if bool(given) + args.demo + bool(args.sources) > 1:
        parser.error(
            "sources are read one after the other, those of --source and --camera at once, --demo alone; give only one "
            "of these kinds"
        )
    if not (given or args.demo or args.sources):
        parser.error("say what to read: sources, or --camera N, or --demo")
    args.at_once, args.name = {}, None
    if len(given) == 1:
        args.name, args.sources = given[0][0], [given[0][1]]
        return
    try:
        args.at_once = by_name((name or default_name(source), source) for name, source in given)
    except InputError as error:
        parser.error(f"{error}: --source NAME=SOURCE")


def _source(text: str) -> tuple[str | None, str]:
    try:
        return split_name(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _camera(text: str) -> tuple[None, int]:
    return None, whole(text, 0, 2**31 - 1, "a number from 0; for other sources use --source")
