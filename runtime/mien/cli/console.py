"""What ``fer-run`` prints for people: a table for each picture, the state of a long run, a summary at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mien.types import Face, Frame


@dataclass
class Tally:
    """Counts the frames and faces of one run. ``seconds``: from its creation to the last frame."""

    frames: int = 0
    seconds: float = 0.0
    labels: Counter[str] = field(default_factory=Counter)
    _start: float = field(default_factory=time.monotonic)

    def add(self, faces: Sequence[Face]) -> None:
        self.frames += 1
        self.labels.update(face.expression.label for face in faces)
        self.seconds = time.monotonic() - self._start

    def status(self, faces: Sequence[Face], dropped: int = 0) -> str:
        """The text after the progress bar, which itself shows frames per second: faces per second, the largest face,
        and the number of frames that a live source dropped."""
        rate = self.labels.total() / max(self.seconds, 1e-6)
        now = f"{faces[0].expression.label} {faces[0].expression.confidence:.0%}" if faces else "no face"
        return f"{rate:.1f} faces/s, {now}" + (f", {dropped} dropped" if dropped else "")

    def summary(self, engine: str, dropped: int = 0, of: str = "", decoders: Sequence[str] = ()) -> str:
        """The last line of a run. ``of``: what follows the number of frames, such as `` of 3 sources``. ``decoders``
        are named if they include one other than OpenCV."""
        faces = self.labels.total()
        rate = self.frames / max(self.seconds, 1e-6)
        text = (
            f"{_count(self.frames, 'frame')}{of}, {_count(faces, 'face')} in {self.seconds:.1f} s, "
            f"{rate:.1f} frames/s on {engine}"
        )
        text += f", decoded by {' and '.join(decoders)}" if {*decoders} - {"OpenCV"} else ""
        text += f", {_count(dropped, 'frame')} dropped for newer ones" if dropped else ""
        shares = ", ".join(f"{label} {count / faces:.0%}" for label, count in self.labels.most_common(3))
        return f"{text}: {shares}" if faces > 1 else text


def table(frame: Frame, faces: Sequence[Face]) -> str:
    """One line for the picture, then one line per face, in the order of ``faces``."""
    height, width = frame.image.shape[:2]
    lines = [f"{frame.name}  {width}x{height}  {_count(len(faces), 'face')}"]
    wide = max(10, *(len(face.expression.label) for face in faces)) if faces else 0
    if faces:
        affect = "  valence  arousal" if any(face.affect for face in faces) else ""
        lines.append(f"   #  {'expression':<{wide}}  confidence{affect}  box (px)")
    for number, face in enumerate(faces):
        x1, y1, x2, y2 = (round(float(value)) for value in face.box)
        affect = f"  {face.affect.valence:>+7.2f}  {face.affect.arousal:>+7.2f}" if face.affect else ""
        lines.append(
            f"  {number:>2}  {face.expression.label:<{wide}}  {face.expression.confidence:>10.0%}{affect}"
            f"  {x1},{y1} to {x2},{y2}"
        )
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
