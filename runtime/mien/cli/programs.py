"""Where the programs start that need OpenCV at once: one that is half there, and an early Ctrl-C, are told in words."""

from __future__ import annotations

from mien.cli.startup import start


def fer_enroll() -> None:
    """``fer-enroll``."""
    _start("fer-enroll", "mien.cli.enroll")


def fer_bench() -> None:
    """``fer-bench``."""
    _start("fer-bench", "mien.bench")


def fer_doctor() -> None:
    """``fer-doctor``, which needs numpy, and says itself what is wrong with the rest."""
    _start("fer-doctor", "mien.cli.doctor", "check_numpy")


def _start(program: str, module: str, check: str = "check_opencv") -> None:
    def work() -> int:
        from importlib import import_module

        from mien import packages

        getattr(packages, check)()
        import_module(module).main()
        return 0

    start(program, work)
