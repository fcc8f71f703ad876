"""Where the programs start that need OpenCV at once: one that is half there, and an early Ctrl-C, are told in words."""

from __future__ import annotations

from mien.starting import start


def fer_enroll() -> None:
    """``fer-enroll``."""
    _start("fer-enroll", "mien.enroll")


def fer_bench() -> None:
    """``fer-bench``."""
    _start("fer-bench", "mien.bench")


def _start(program: str, module: str) -> None:
    def work() -> int:
        from importlib import import_module

        from mien.packages import check_opencv

        check_opencv()
        import_module(module).main()
        return 0

    start(program, work)
