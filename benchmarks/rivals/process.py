"""A rival at work in a process of its own: pictures go in as files of raw pixels, faces come back as lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.rivals.catalog import RIVALS
from benchmarks.rivals.environments import Environment, NotHad
from mien.types import Image

WORKERS = Path(__file__).with_name("workers")
MARK = "@@ "
"""Before each line that answers; libraries print others."""


@dataclass(frozen=True)
class Found:
    """One face. ``box``: x1, y1, x2, y2 in px. ``scores``: by our names of the expressions."""

    box: tuple[float, float, float, float]
    scores: Mapping[str, float]


class Running:
    """A rival's process. ``first_s``: seconds from its start to its first answer, to the picture given then."""

    def __init__(self, name: str, environment: Environment, first: Image, threads: int | None = None):
        self.name, self._names = name, {theirs: ours for ours, theirs in RIVALS[name].names.items()}
        self._folder = tempfile.TemporaryDirectory()
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        variables |= {"RIVAL": str(environment.folder), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}
        variables |= RIVALS[name].options
        if threads:
            variables |= dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "RIVAL_THREADS"), str(threads))
        start = time.monotonic()
        self._process = subprocess.Popen(
            [environment.program, str(WORKERS / RIVALS[name].worker)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables,
            cwd=environment.folder,
        )  # fmt: skip
        self.ask(first)
        self.first_s = time.monotonic() - start

    def ask(self, picture: Image) -> tuple[list[Found], float]:
        """The faces of a uint8 BGR picture (H, W, 3), and the seconds from its pixels in memory to them."""
        path = Path(self._folder.name) / "picture"
        picture.tofile(path)
        height, width = picture.shape[:2]
        answer = self._exchange({"file": str(path), "height": height, "width": width})
        faces = [Found(tuple(face["box"]), self._named(face["scores"])) for face in answer["faces"]]
        return faces, float(answer["seconds"])

    def peak_mb(self) -> float:
        """The largest resident memory of the process so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        return round(int(kilobytes) * 1024 / 1e6, 1)

    def _named(self, scores: dict[str, float]) -> dict[str, float]:
        return {self._names.get(name, name): float(value) for name, value in scores.items()}

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self._process.stdout:
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return answer
        assert self._process.stderr is not None
        last = (self._process.stderr.read().strip().splitlines() or ["it says nothing"])[-1]
        raise NotHad(f"its process ended: {last}")

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
