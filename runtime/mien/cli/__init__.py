"""``fer-run``: facial expression from pictures, videos and cameras, on the command line.

It imports the rest only when it is called, so that an OpenCV that is half there, and a Ctrl-C, are answered in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options. Bad usage ends the program with code 2. LibraryBroken where OpenCV is."""
    from mien.packages import check_opencv

    check_opencv()
    from mien.cli import options

    return options.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Read the sources to their end, or until that is stopped. Returns the exit code; errors stand on stderr."""
    from mien.cli import fer_run

    return fer_run.run(args)


def main() -> None:
    """The program."""
    from mien.cli.startup import start

    start("fer-run", lambda: run(parse_args()))


if __name__ == "__main__":
    main()
