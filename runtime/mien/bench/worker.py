"""One mode on a clip, in its own process: ``python -m mien.bench.worker``, started by ``clip.py``."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

from mien.bench.timing import memory
from mien.diagnostics.machine import Facts
from mien.diagnostics.selftest import words
from mien.errors import SourceError
from mien.recognizer import Recognizer
from mien.sinks.records import JsonLines
from mien.sources.factory import open_source
from mien.sources.video import quiet_opencv
from mien.tracking.stream import Stream
from mien.types import Face, Frame

WARM_UP = 8
"""Frames before each turn that do not count, because a thread may have decoded them ahead."""
STAGES = {"detect": "find", "crop": "crop", "engine": "read", "smooth": "smooth"}
"""Key in ``Stream.timings`` -> name in the report."""


class ClipRun:
    """Plays the clip in one mode, again and again."""

    def __init__(self, job: Facts):
        self._clip, self._sink = Path(job["clip"]), JsonLines(job["output"])
        self._recognizer = Recognizer(
            job["model"], device=job["device"], precision=job["precision"], threads=job["threads"]
        )
        self._streams = job["mode"] == "stream"
        self.engine = self._recognizer.engine
        self._steps = self._frames()

    def turn(self, seconds: float) -> Facts:
        """Process about ``seconds`` of frames. Returns the time of each, and the total time of each stage."""
        for _ in range(WARM_UP):
            next(self._steps)
        times: list[float] = []
        stages: Counter[str] = Counter()
        faces = 0
        cpu, now = time.process_time(), time.perf_counter()
        end = now + seconds
        while now < end:
            start = now
            parts, found = next(self._steps)
            now = time.perf_counter()
            times.append(now - start)
            stages.update(parts)
            faces += found
        cpu = time.process_time() - cpu
        held, peak = memory()
        return {"seconds": times, "cpu": cpu, "stages": stages, "faces": faces, "held_mb": held, "peak_mb": peak}

    def close(self) -> None:
        """End the thread that decodes ahead: if it is running when Python ends, the process crashes."""
        self._steps.close()

    def _frames(self) -> Generator[tuple[dict[str, float], int], None, None]:
        """Endlessly process the next frame, and yield the seconds of each stage and the number of faces."""
        while True:
            with ExitStack() as stack:
                source = stack.enter_context(open_source(self._clip))
                stream = stack.enter_context(self._recognizer.stream()) if self._streams else None
                frame = None
                start = time.perf_counter()
                for frame in source:
                    decoded = time.perf_counter()
                    faces = self._read(stream, frame)
                    read = time.perf_counter()
                    self._sink.write(frame, faces)
                    written = time.perf_counter()
                    parts = {"predict": read - decoded}
                    if stream is not None:
                        parts = {name: stream.timings[key] for key, name in STAGES.items()}
                    yield {"decode": decoded - start, **parts, "write": written - read}, len(faces)
                    start = time.perf_counter()
                if frame is None:
                    raise SourceError(f"{self._clip} gave no frame; give another clip")

    def _read(self, stream: Stream | None, frame: Frame) -> list[Face]:
        return self._recognizer.predict(frame.image) if stream is None else stream.update(frame.image, frame.time)


class _Warnings(logging.Handler):
    """Collects warnings, each once, for the parent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.add(record.getMessage())


def main() -> None:
    """The child: reads a job and then durations from stdin, and answers each on stdout."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of libraries must not mix with answers
    quiet_opencv()
    warnings = _Warnings()
    logging.getLogger("mien").addHandler(warnings)
    clip: ClipRun | None = None
    try:
        for line in sys.stdin:
            question = json.loads(line)
            if clip is None:
                clip = ClipRun(question)
                answer: Facts = {"engine": clip.engine}
            else:
                answer = clip.turn(question) | {"warnings": sorted(warnings.texts)}
            print(json.dumps(answer), file=out, flush=True)
    except BrokenPipeError:  # the parent has ended
        pass
    except Exception as error:  # the parent reports it
        print(json.dumps({"error": words(error), "kind": type(error).__name__}), file=out, flush=True)
    finally:
        if clip is not None:
            clip.close()


if __name__ == "__main__":
    main()
