"""The whole pipeline on a clip, frame by frame: ``Recognizer.stream`` compared with ``predict`` on each frame.

Each mode runs in its own process (``worker.py``), so that its memory and processor time can be measured, and the two
take turns: the parent writes a line, and the child answers with a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import mien.errors
from mien.bench.timing import Steps, figures
from mien.diagnostics.machine import Facts
from mien.errors import InputError, MienError, SourceError
from mien.sources.factory import open_source

MODES = ("stream", "predict")
MIN_FRAMES = 100
"""Growth of memory is reported only if so many frames followed the first turn."""
TURNS = 4
"""Number of turns of each mode."""


def check_clip(name: str) -> Facts:
    """Size and frame rate of a clip. InputError if it is not a video, SourceError if it cannot be played."""
    if not Path(name).expanduser().exists():
        raise SourceError(f"there is no file {name} (looked in {Path.cwd()}); check the path")
    with open_source(Path(name)) as source:
        if source.kind != "video":
            raise InputError(f"{name} is not a video file; use one such as talk.mp4")
        return {"size": list(source.size or ()), "fps": round(source.fps, 3) if source.fps else None}


class Child:
    """A process that measures one mode, and releases everything when it is closed."""

    def __init__(self, job: Facts):
        """Raises the child's error: a MienError of the same class."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the child)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mien.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the child
        )
        try:
            self.engine = str(self.ask(job)["engine"])
        except BaseException:
            self.close()
            raise

    def ask(self, question: object) -> Facts:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["without a message"]
            code = self._process.wait()
            raise MienError(f"the process that measured the clip ended with code {code}: {last[0]}")
        answer: Facts = json.loads(line)
        if "error" in answer:
            raise getattr(mien.errors, answer["kind"], MienError)(answer["error"])
        return answer

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):  # data that it no longer read
                if file is not None:
                    file.close()


def clip_turns(job: Facts, answers: Mapping[str, list[Facts]], seconds: float) -> Steps:
    """Fill ``answers`` with ``seconds`` of each of the MODES, in turns; yields after each turn.

    ``job``: ``clip``, and the arguments of the Recognizer. Raises MienError.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        children: dict[str, Child] = {}
        for mode in MODES:  # one after the other, because loading is work too
            children[mode] = Child({**job, "mode": mode, "output": os.path.join(folder, f"{mode}.jsonl")})
            stack.callback(children[mode].close)
        for _ in range(TURNS):
            for mode, child in children.items():
                answers[mode].append(child.ask(seconds / TURNS) | {"engine": child.engine})
                yield


def clip_facts(answers: Mapping[str, Sequence[Facts]], fps: float | None) -> Facts:
    """The results of the modes that have run; ``stream_over_predict`` is the speed of a stream relative to predict."""
    modes = {mode: _mode_facts(turns, fps) for mode, turns in answers.items() if turns}
    facts: Facts = {"ways": modes}
    if len(modes) == len(MODES):
        facts["stream_over_predict"] = round(modes["stream"]["per_second"] / modes["predict"]["per_second"], 3)
    return facts


def _mode_facts(turns: Sequence[Facts], fps: float | None) -> Facts:
    seconds = [value for turn in turns for value in turn["seconds"]]
    numbers = figures(seconds, sum(turn["cpu"] for turn in turns))
    stages: Counter[str] = Counter()
    for turn in turns:
        stages.update(turn["stages"])
    stages["rest"] = sum(seconds) - stages.total()
    held = [turn["held_mb"] for turn in turns]
    peak = turns[-1]["peak_mb"]
    later = sum(len(turn["seconds"]) for turn in turns[1:])
    known = None not in held and later >= MIN_FRAMES
    return {
        "engine": turns[-1]["engine"],
        **numbers,
        "mean_ms": round(1000 * sum(seconds) / len(seconds), 4),
        "times_real_time": round(numbers["per_second"] / fps, 3) if fps else None,
        "stages_ms": {name: round(1000 * value / len(seconds), 4) for name, value in stages.items()},
        "faces_per_frame": round(sum(turn["faces"] for turn in turns) / len(seconds), 3),
        "peak_memory_mb": round(peak, 1) if peak is not None else None,
        "memory_growth_mb": round(held[-1] - held[0], 2) if known else None,
        "memory_growth_frames": later,
        "warnings": sorted({text for turn in turns for text in turn["warnings"]}),
    }
