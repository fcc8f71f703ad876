"""``fer-run``: facial expression from pictures, videos and cameras, on the command line.

Everything else is imported only when it runs, so that an incomplete OpenCV, and an early Ctrl-C, give a proper message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options. Bad usage ends the program with code 2. LibraryBroken if OpenCV does not work."""
    from mien.packages import check_opencv

    check_opencv()
    from mien.cli import options

    return options.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Process the sources to their end, or until stopped. Returns the exit code; errors are printed on stderr."""
    from mien.cli import fer_run, together

    return fer_run.run(args, together.Together if args.at_once else None)


def work() -> int:
    """Parse the options and run. Returns the exit code."""
    return run(parse_args())


def main() -> None:
    """Run ``fer-run``, and leave the process with its exit code."""
    from mien.cli.programs import fer_run

    fer_run()
