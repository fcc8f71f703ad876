"""The first moments of a program, before anything that takes long is imported: a Ctrl-C then is no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def start(program: str, work: Callable[[], int]) -> NoReturn:
    """``mien.terminal.entry``, whose own imports may be interrupted too."""
    try:
        from mien.terminal import entry
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    entry(program, work)
