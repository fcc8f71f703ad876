"""What tests of fer-doctor share: the type of ``doctor``, the problems of a report, and a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Doctor = Callable[..., tuple[int, Any]]


def texts(report: Any, serious: bool) -> list[str]:
    return [problem["text"] for problem in report["problems"] if problem["serious"] == serious]


def fresh(code: str, *args: str, libraries: Path | None = None) -> subprocess.CompletedProcess[str]:
    """fer-doctor in a process of its own, in which ``code`` runs first. ``libraries``: a folder of broken ones."""
    folders = filter(None, (str(libraries or ""), os.environ.get("PYTHONPATH")))
    path = {"PYTHONPATH": os.pathsep.join(folders)}
    command = [
        sys.executable,
        "-c",
        f"{code}\nfrom mien.cli.programs import fer_doctor; fer_doctor()",
        "--threads",
        "1",
        *args,
    ]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | path, timeout=600, check=False)
