"""Entry points of the programs. Each imports everything else only after the checks, so that a broken OpenCV or numpy,
and an early Ctrl-C, give a proper message."""

from __future__ import annotations


def fer_run() -> None:
    """``fer-run``."""
    _start("fer-run", "mien.cli")


def fer_batch() -> None:
    """``fer-batch``."""
    _start("fer-batch", "mien.cli.fer_batch")


def fer_enroll() -> None:
    """``fer-enroll``."""
    _start("fer-enroll", "mien.cli.enroll")


def fer_bench() -> None:
    """``fer-bench``."""
    _start("fer-bench", "mien.bench")


def fer_doctor() -> None:
    """``fer-doctor``, which needs only numpy, and reports itself what is wrong with the rest."""
    _start("fer-doctor", "mien.cli.doctor", "check_numpy")


def _start(program: str, module: str, check: str = "check_opencv") -> None:
    """Run ``work`` of a module, and leave the process with the exit code that it returns."""
    try:
        from mien.terminal import entry
    except KeyboardInterrupt:
        raise SystemExit(130) from None

    def work() -> int:
        from importlib import import_module

        from mien import packages

        getattr(packages, check)()
        code: int = import_module(module).work()
        return code

    entry(program, work)
