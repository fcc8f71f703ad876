"""Public video sets -> the CSV of labeled video. Nothing is downloaded: whoever has a set unpacks it.

- ``affwild2``: Aff-Wild2 as of the ABAW competitions (Kollias & Zafeiriou). Annotations in folders whose names hold
``EXPR`` or ``VA``, with ``<split>/<video>.txt``: a header, then for each frame a line with a class from 0 to 7 or -1,
or with ``valence,arousal``, -5 for none. Pictures in ``cropped_aligned/<video>/00001.jpg``, numbered from 1 with gaps,
or videos ``<video>.mp4`` or ``.avi`` anywhere.
- ``afew-va``: AFEW-VA (Kossaifi et al. 2017). ``<clip>/<clip>.json`` with ``frames``: valence and arousal from -10 to
  10, beside pictures of those names.
- ``ck+``: Extended Cohn-Kanade (Lucey et al. 2010). ``cohn-kanade-images/S005/001/*.png`` from neutral to the peak, and
  ``Emotion/S005/001/*_emotion.txt`` with a number from 0 to 7. The first frame counts as neutral, the last three as the
  emotion, those between as unlabeled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

from mien.errors import InputError
from mien.types import EXPRESSIONS
from mien_train.temporal.video import PICTURES, Row, write_rows

NONE = (math.nan, math.nan)
AFFWILD2 = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
"""Class 7, "other", becomes no label."""
CKPLUS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
PEAK = 3
"""Frames at the end of a sequence that show the emotion."""


def convert(layout: str, root: Path, out: Path, rate: float = 0.0) -> int:
    """Write the CSV ``out`` of the set at ``root`` and return the number of rows. ``rate``: frames a second, 0 for the
    usual rate of the set. Paths of clips are relative to the folder of ``out``. Raises InputError for another
    layout."""
    reader, usual = LAYOUTS[layout]
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; unpack the set there")
    rows = list(reader(root, rate or usual))
    if not rows:
        raise InputError(f"{root} holds nothing in the layout of {layout}; see mien_train/temporal/convert.py")
    home = out.resolve().parent
    try:
        rows = [Row(_from(home, root / row.clip), row.frame, row.time, row.label, row.affect) for row in rows]
        write_rows(out, rows)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; choose another place") from error
    return len(rows)


def _from(home: Path, place: Path) -> str:
    """``place`` relative to ``home`` where it lies below it, else absolute."""
    place = place.resolve()
    return str(place.relative_to(home)) if place.is_relative_to(home) else str(place)


def _affwild2(root: Path, rate: float) -> Iterator[Row]:
    labels: dict[str, dict[int, int]] = {}
    affects: dict[str, dict[int, tuple[float, float]]] = {}
    for file in sorted(root.rglob("*.txt")):
        kind = "".join(file.parent.parent.parts[-1:]).upper()
        if "EXPR" not in kind and not kind.startswith("VA"):
            continue
        for number, text in enumerate(_lines(file)[1:]):
            try:
                if "EXPR" in kind:
                    label = int(text)
                    if 0 <= label < len(AFFWILD2):
                        labels.setdefault(file.stem, {})[number] = EXPRESSIONS.index(AFFWILD2[label])
                else:
                    valence, arousal = (float(value) for value in text.split(","))
                    if abs(valence) <= 1 and abs(arousal) <= 1:
                        affects.setdefault(file.stem, {})[number] = valence, arousal
            except ValueError as error:
                raise InputError(f"{file} line {number + 2} is {text!r}: {error}") from error
    for name in sorted({*labels, *affects}):
        clip, numbers = _affwild2_frames(root, name)
        classes, ratings = labels.get(name, {}), affects.get(name, {})
        for line in sorted({*classes, *ratings}):
            if numbers is None or line in numbers:
                frame = line if numbers is None else numbers[line]
                yield Row(clip, frame, line / rate, classes.get(line, -1), ratings.get(line, NONE))


def _affwild2_frames(root: Path, name: str) -> tuple[str, dict[int, int] | None]:
    """The clip and, for a folder of pictures, which line of the annotation belongs to which picture."""
    folders = [path for path in sorted(root.rglob(name)) if path.is_dir()]
    if folders:
        pictures = sorted(path for path in folders[0].iterdir() if path.suffix.lower() in PICTURES)
        return str(folders[0].relative_to(root)), {int(path.stem) - 1: i for i, path in enumerate(pictures)}
    video = name.removesuffix("_left").removesuffix("_right")
    for suffix in (".mp4", ".avi"):
        for path in sorted(root.rglob(video + suffix)):
            return str(path.relative_to(root)), None
    raise InputError(
        f"{root} holds annotations of {name}, but neither its pictures nor its video; unpack them there too"
    )


def _afew_va(root: Path, rate: float) -> Iterator[Row]:
    for file in sorted(root.rglob("*.json")):
        if file.stem != file.parent.name:
            continue
        try:
            frames = json.loads(file.read_text(encoding="utf-8"))["frames"]
            values = {
                name: (float(frame["valence"]) / 10, float(frame["arousal"]) / 10) for name, frame in frames.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file} is not in the format of AFEW-VA: {error!r}") from error
        pictures = sorted(path for path in file.parent.iterdir() if path.suffix.lower() in PICTURES)
        clip = str(file.parent.relative_to(root))
        for i, path in enumerate(pictures):
            if path.stem in values:
                yield Row(clip, i, i / rate, -1, values[path.stem])


def _ckplus(root: Path, rate: float) -> Iterator[Row]:
    for file in sorted(root.rglob("*_emotion.txt")):
        try:
            label = EXPRESSIONS.index(CKPLUS[int(float(_lines(file)[0]))])
        except (ValueError, IndexError) as error:
            raise InputError(f"{file} holds no number from 0 to 7") from error
        subject, number = file.parent.parts[-2:]
        folders = sorted(root.glob(f"**/cohn-kanade-images/{subject}/{number}"))
        if not folders:
            raise InputError(
                f"{root} holds {file.name}, but no cohn-kanade-images/{subject}/{number}; unpack it there too"
            )
        count = sum(path.suffix.lower() in PICTURES for path in folders[0].iterdir())
        for i in range(count):
            shown = label if i >= count - PEAK else 0 if i == 0 else -1
            yield Row(str(folders[0].relative_to(root)), i, i / rate, shown, NONE)


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]


LAYOUTS: dict[str, tuple[Callable[[Path, float], Iterator[Row]], float]] = {
    "affwild2": (_affwild2, 30.0),
    "afew-va": (_afew_va, 25.0),
    "ck+": (_ckplus, 30.0),
}
"""By name: the reader, and the usual rate in frames a second."""
