"""Labeled video: a CSV with a row for each frame -> sequences of the student's outputs.

The columns are ``clip,frame,time,expression,valence,arousal``. ``clip``: a video file or a folder of pictures,
relative to the folder of the CSV. ``frame``: the number of a frame, or of a picture in alphabetical order, from 0.
``time`` in s.
``expression``: a class by name, or empty; ``valence`` and ``arousal`` in [-1, 1], or empty.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mien.bundle import Bundle
from mien.errors import InputError
from mien.files import replacing
from mien.recognizer import Recognizer
from mien.sources.video import open_video
from mien.types import EXPRESSIONS, Image
from mien.validation import check_number
from mien_train.temporal.sequences import Sequences

COLUMNS = ("clip", "frame", "time", "expression", "valence", "arousal")
LENGTH = 96
"""Frames of a sequence; longer clips are cut into several."""
CHOSEN = 6
"""One clip in so many, and at least one, is kept for validation."""
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Row:
    """One labeled frame: ``label`` -1 and ``affect`` NaN where there is none."""

    clip: str
    frame: int
    time: float
    label: int
    affect: tuple[float, float]


def read_rows(path: Path) -> dict[str, list[Row]]:
    """The rows of each clip, by frame. Raises InputError, which names the line, for any other file."""
    clips: dict[str, list[Row]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} has no column {missing[0]}; it needs {','.join(COLUMNS)}")
            for values in reader:
                row = _row(values, f"{path} line {reader.line_num}")
                clips.setdefault(row.clip, []).append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    for clip, rows in clips.items():
        rows.sort(key=lambda row: row.frame)
        for one, other in pairwise(rows):
            if other.frame == one.frame or other.time <= one.time:
                raise InputError(f"{path}: frame {other.frame} of {clip} comes twice, or its time does not rise")
    if not clips:
        raise InputError(f"{path} has no rows; it needs one for each labeled frame")
    return clips


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write a CSV that ``read_rows`` reads. It is whole or not there."""
    with replacing(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            label = EXPRESSIONS[row.label] if row.label >= 0 else ""
            affect = ["" if math.isnan(value) else round(value, 4) for value in row.affect]
            writer.writerow([row.clip, row.frame, round(row.time, 4), label, *affect])


def load_labeled(path: Path, bundle: Bundle, cache: Path) -> tuple[Sequences, Sequences]:
    """Sequences for training and for validation, from different clips. The student's outputs are kept in ``cache``.

    Where a frame shows several faces, the largest one counts. Frames without a face are left out; the times show the
    gap. Raises InputError for a CSV that cannot be used, a clip that cannot be read, or fewer than two clips with
    faces.
    """
    clips = read_rows(path)
    recognizer = Recognizer(bundle.folder, device="cpu", threads=1)
    about = path.read_bytes() + str(sorted(bundle.card.files.items())).encode()
    folder = cache / f"video-{hashlib.sha256(about).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    clips_read = []
    for number, (clip, rows) in enumerate(tqdm(clips.items(), "clips", unit=" clips", mininterval=5.0)):
        file = folder / f"{number:06d}.npz"
        if not file.is_file():
            sequence = _sequence(path.parent / clip, rows, recognizer)
            with replacing(file) as aside:
                np.savez(aside, **vars(sequence))
        with np.load(file) as stored:
            clips_read.append(Sequences(**{name: stored[name] for name in stored.files}))
    with_faces = [one for one in clips_read if one.times.shape[1]]
    if len(with_faces) < 2:
        raise InputError(
            f"{path}: faces were found in {len(with_faces)} clips; two or more are needed, one to choose by"
        )
    every = max(2, min(CHOSEN, len(with_faces)))
    chosen = [one for i, one in enumerate(with_faces) if i % every == every - 1]
    return join([one for i, one in enumerate(with_faces) if i % every < every - 1]), join(chosen)


def join(parts: list[Sequences], length: int = LENGTH) -> Sequences:
    """Clips as sequences of ``length`` frames. The rest of a shorter one has times of inf."""
    pieces = []
    for part in parts:
        count = part.times.shape[1]
        for start in range(0, count, length):
            cut = {name: values[:, start : start + length] for name, values in vars(part).items()}
            short = length - cut["times"].shape[1]
            fill = {"times": np.inf, "label": -1, "truth": np.nan}
            pieces.append(
                {
                    name: np.pad(
                        values,
                        [(0, 0), (0, short), *[(0, 0)] * (values.ndim - 2)],
                        constant_values=fill.get(name, 0),
                    )
                    for name, values in cut.items()
                }
            )
    return Sequences(**{name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]})


def _sequence(place: Path, rows: list[Row], recognizer: Recognizer) -> Sequences:
    """The student's outputs on one clip, frame by frame, (1, F, ...)."""
    stream = recognizer.stream(temporal=False)
    wanted = {row.frame: row for row in rows}
    times, outputs, labels, truths = [], [], [], []
    for number, image in enumerate(_images(place)):
        row = wanted.pop(number, None)
        if row is None:
            continue
        faces = stream.update(image, row.time)
        raw = faces[0].raw if faces else None
        if raw:
            own = (raw.affect.valence, raw.affect.arousal) if raw.affect else (0.0, 0.0)
            outputs.append((raw.embedding.copy(), list(raw.expression.probabilities.values()), own))
            times.append(row.time)
            labels.append(row.label)
            truths.append(row.affect)
        if not wanted:
            break
    if wanted:
        raise InputError(f"{place} has no frame {min(wanted)}, which the CSV labels; does the CSV belong to it?")
    width = recognizer.card.embedding
    blank = np.zeros((0, width)), np.zeros((0, len(EXPRESSIONS))), np.zeros((0, 2))
    embedding, expression, affect = [np.array(column) for column in zip(*outputs, strict=True)] if outputs else blank
    return Sequences(
        times=np.array(times, np.float64)[None],
        embedding=embedding.astype(np.float32)[None],
        expression=expression.astype(np.float32)[None],
        affect=affect.astype(np.float32)[None],
        label=np.array(labels, np.int64)[None],
        truth=np.array(truths, np.float32).reshape(1, -1, 2),
    )


def _images(place: Path) -> Iterator[Image]:
    """The frames of a video file, or the sorted pictures of a folder."""
    if place.is_dir():
        for path in sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURES):
            image = cv2.imread(str(path))
            if image is None:
                raise InputError(f"{path} is not a picture that OpenCV can read")
            yield np.asarray(image, np.uint8)
        return
    if not place.is_file():
        raise InputError(f"{place} is neither a folder of pictures nor a video; clips are relative to the CSV's folder")
    decoder = open_video(place)
    try:
        while decoded := decoder.read():
            yield decoded.image
    finally:
        decoder.release()


def _row(values: dict[str, str], where: str) -> Row:
    name = (values["expression"] or "").strip().lower()
    if name and name not in EXPRESSIONS:
        raise InputError(
            f"{where}: expression {name!r} is not a class; use {', '.join(EXPRESSIONS)}, or leave it empty"
        )
    if not values["clip"] or not (values["frame"] or "").isdigit():
        raise InputError(f"{where}: it needs a clip, and a frame number from 0")
    affect = []
    for key in ("valence", "arousal"):
        number = _number(values[key], f"{where}: {key}") if values[key] else math.nan
        if not (math.isnan(number) or -1 <= number <= 1):
            raise InputError(f"{where}: {key} is {number}; use -1 to 1, or leave it empty")
        affect.append(number)
    time = _number(values["time"], f"{where}: time")
    label = EXPRESSIONS.index(name) if name else -1
    return Row(values["clip"], int(values["frame"]), time, label, (affect[0], affect[1]))


def _number(text: str | None, what: str) -> float:
    try:
        return check_number(float(text or ""), what)
    except ValueError:
        raise InputError(f"{what} is {text!r}; use a finite number") from None
