"""Face data sets: parquet shards or plain folders -> rows with encoded image, class, votes, valence and arousal."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from mien.errors import InputError
from mien.paths import readable
from mien.types import EXPRESSIONS
from mien_train.data.class_folders import pictures_by_class
from mien_train.data.compounds import blend_of

TERMS = {
    "ferplus": "FER+ labels MIT; FER-2013 images for research",
    "rafdb": "RAF-DB, non-commercial research only",
    "affectnet-subset": "AffectNet, non-commercial research only",
    "affectnet-va": "AffectNet, non-commercial research only",
    "diffusionfer": "DiffusionFER, CC0, synthetic faces",
    "unlabelled": "UTKFace and LFW, non-commercial research only",
    "cfee": "CFEE (Du, Tao & Martinez 2014), non-commercial research only",
    "taiwan": "Taiwanese facial expression images (Chen et al. 2013), non-commercial research only",
    "expw": "ExpW, non-commercial research only",
    "omi": "One Million Impressions, synthetic portraits, CC BY-NC-SA 4.0",
}


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Rows of one split. ``rows`` is memory-mapped by ``datasets``; the label columns are arrays of length N.

    ``expression`` int64, -1 for none. ``soft`` (N, 8) float32: the raters' votes as probabilities, or the two
    expressions of a compound with a half each; rows of NaN for none. ``affect`` (N, 2) float32 valence and arousal, NaN
    for none. ``index`` maps to rows.
    """

    name: str
    rows: Any
    index: NDArray[np.int64]
    expression: NDArray[np.int64]
    soft: NDArray[np.float32]
    affect: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.index)

    def encoded(self, i: int) -> bytes:
        """The encoded image (JPEG or PNG bytes) of row ``i``."""
        image = self.rows[int(self.index[i])]["image"]
        return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()

    def place(self, i: int) -> str:
        """Where row ``i`` is, for messages."""
        return self.rows[int(self.index[i])]["image"]["path"] or f"row {int(self.index[i])} of {self.name}"

    def people(self) -> NDArray[np.int64] | None:
        """(N,) numbers of the people who are seen; None where the set does not say."""
        if "person" not in self.rows.column_names:
            return None
        person = self.rows["person"]
        if any(one is None for one in person):
            return None
        return np.array(person, np.int64)[self.index]

    def subset(self, chosen: NDArray[Any]) -> FaceSet:
        return FaceSet(
            self.name, self.rows, self.index[chosen], self.expression[chosen], self.soft[chosen], self.affect[chosen]
        )


def data_root(given: Path | None) -> Path:
    """The folder of data sets: ``given``, or else that of the environment variable MIEN_DATA."""
    root = given or (Path(os.environ["MIEN_DATA"]) if os.environ.get("MIEN_DATA") else None)
    if root is None:
        raise InputError("where are the data sets? Pass --data FOLDER or set the environment variable MIEN_DATA")
    if not root.is_dir():
        raise InputError(f"data folder {root} does not exist; pass --data FOLDER or set MIEN_DATA")
    return root


def load_faces(name: str, root: Path | None = None) -> FaceSet:
    """A split such as ``rafdb/train`` (parquet shards under ``root``), or a folder of ``<class>/*.jpg``.

    Raises InputError where neither exists, a folder is not as class_folders.py wants it, columns are missing, or an
    expression is none.
    """
    if Path(name).is_dir():
        return _load_folder(Path(name))
    base = data_root(root)
    shards = sorted(str(path) for path in (base / name).parent.glob(f"{Path(name).name}-*.parquet"))
    if not shards:
        raise InputError(f"no data set {name!r} in {base}: neither {base / name}-*.parquet nor a folder of that name")
    rows = datasets.load_dataset("parquet", data_files=shards, split="train")
    missing = {"image", "expression"} - set(rows.column_names)
    if missing:
        raise InputError(f"{shards[0]} has no column {sorted(missing)[0]}; see docs/reference/formats.md")
    rows = rows.cast_column("image", datasets.Image(decode=False))
    count = len(rows)
    expression = _expressions(name, rows["expression"])
    return FaceSet(name, rows, np.arange(count), expression, _soft(rows, expression), _affect(rows))


def _expressions(name: str, values: Sequence[Any]) -> NDArray[np.int64]:
    known = range(-1, len(EXPRESSIONS))
    for row, value in enumerate(values):
        if value not in known:
            raise InputError(
                f"row {row} of {name} has the expression {value}; it must be a number from 0 to {known[-1]}, "
                "or -1 for none (docs/reference/formats.md)"
            )
    return np.array(values, dtype=np.int64)


def _load_folder(folder: Path) -> FaceSet:
    paths, labels = pictures_by_class(folder)
    for path in paths:
        if readable(path) != str(path):  # Arrow takes UTF-8 only
            raise InputError(f"{readable(path)}: this name is not UTF-8; rename it")
    count = len(paths)
    return FaceSet(
        str(folder),
        datasets.Dataset.from_dict({"image": [{"bytes": None, "path": str(path)} for path in paths]}),
        np.arange(count),
        np.array(labels),
        np.full((count, len(EXPRESSIONS)), np.nan, np.float32),
        np.full((count, 2), np.nan, np.float32),
    )


def _votes(rows: Any) -> NDArray[np.float32]:
    """Votes for the 8 classes as probabilities. NaN for rows without votes, or with mostly votes for no class."""
    soft = np.full((len(rows), len(EXPRESSIONS)), np.nan, np.float32)
    if "votes" in rows.column_names:
        for i, votes in enumerate(rows["votes"]):
            if votes is not None and sum(votes[:8]) > sum(votes) / 2:
                soft[i] = np.array(votes[:8], np.float32) / sum(votes[:8])
    return soft


def _soft(rows: Any, expression: NDArray[np.int64]) -> NDArray[np.float32]:
    """Votes where there are any; else, for rows with the name of a compound and no class, its two expressions."""
    soft = _votes(rows)
    if "category" in rows.column_names:
        for i, name in enumerate(rows["category"]):
            blend = blend_of(name or "")
            if blend and expression[i] < 0 and np.isnan(soft[i, 0]):
                soft[i] = 0.0
                soft[i, list(blend)] = list(blend.values())
    return soft


def _affect(rows: Any) -> NDArray[np.float32]:
    columns = [
        np.array([np.nan if value is None else value for value in rows[name]], np.float32)
        if name in rows.column_names
        else np.full(len(rows), np.nan, np.float32)
        for name in ("valence", "arousal")
    ]
    return np.stack(columns, axis=1)


def holdout(faces: FaceSet, share: float) -> NDArray[np.bool_]:
    """(N,) which rows to keep for validation: always the same ones, whatever their order.

    They are chosen by the hash of each image. In sets that name people, all images of some people are kept, until they
    make up ``share`` of the rows: a network reads the expressions of a face that it was trained on better than those of
    a stranger.
    """
    if (person := faces.people()) is not None:
        return _held_people(person, share)
    digests = [hashlib.sha1(faces.encoded(i)).digest()[0] for i in range(len(faces))]
    return np.array(digests) < round(share * 256)


def _held_people(person: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    held = np.zeros(len(person), bool)
    for number in sorted(set(person.tolist()), key=lambda number: hashlib.sha1(str(number).encode()).digest()):
        if held.mean() >= share:
            break
        held |= person == number
    return held
