"""The compound expressions of CFEE and RAF-DB, in the folders that their authors distribute.

CFEE (Du, Tao & Martinez 2014): ``CFEE_Database_230/*/Images*/EE_SSS_NNNN.jpg``, EE the expression, SSS the person.
RAF-DB compound (Li, Deng & Du 2017): ``compound/EmoLabel/list_patition_label.txt`` (sic) with lines like
``train_0001.jpg 8``, and ``compound/Image/aligned/train_0001_aligned.jpg``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from mien.errors import InputError

CFEE_CODES = {
    "01": "neutral", "02": "happiness", "03": "sadness", "04": "fear", "05": "anger", "06": "surprise",
    "07": "disgust", "08": "happily surprised", "09": "happily disgusted", "10": "sadly fearful", "11": "sadly angry",
    "12": "sadly surprised", "13": "sadly disgusted", "14": "fearfully angry", "15": "fearfully surprised",
    "16": "fearfully disgusted", "17": "angrily surprised", "18": "angrily disgusted", "19": "disgustedly surprised",
    "20": "appalled", "21": "hatred", "22": "awed",
}  # fmt: skip
"""In the order of the paper's table."""
RAFDB_CODES = (
    "happily surprised", "happily disgusted", "sadly fearful", "sadly angry", "sadly surprised", "sadly disgusted",
    "fearfully angry", "fearfully surprised", "angrily surprised", "angrily disgusted", "disgustedly surprised",
)  # fmt: skip
"""Codes 1 to 11."""
RAFDB_LABELS = Path("EmoLabel") / "list_patition_label.txt"
TEST_SHARE = 0.2
"""Share of the people of CFEE, which has no official split. All pictures of a person are on the same side."""


class Picture(NamedTuple):
    path: Path
    name: str
    """Of the class."""


def pictures_of(folder: Path, split: str) -> list[Picture]:
    """The pictures of ``train`` or ``test``. Raises InputError for another split or layout, and for missing files."""
    if split not in ("train", "test"):
        raise InputError(f"{folder} has the splits train and test, not {split!r}")
    if (folder / RAFDB_LABELS).is_file():
        return _rafdb(folder, split)
    found = sorted(path for path in folder.glob("*/Images*/*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise InputError(
            f"{folder} is neither CFEE (no */Images*/EE_SSS_NNNN.jpg) nor RAF-DB compound (no {RAFDB_LABELS})"
        )
    return [picture for path in found if (picture := _cfee(path, split))]


def _cfee(path: Path, split: str) -> Picture | None:
    code, _, rest = path.stem.partition("_")
    person = rest.partition("_")[0]
    if not person or not code.isdigit():
        raise InputError(f"{path} is not named as CFEE's pictures are: EE_SSS_NNNN.jpg")
    tested = hashlib.sha1(person.encode()).digest()[0] < round(TEST_SHARE * 256)
    name = CFEE_CODES.get(code)
    return Picture(path, name) if name and tested == (split == "test") else None


def _rafdb(folder: Path, split: str) -> list[Picture]:
    pictures = []
    for number, line in enumerate((folder / RAFDB_LABELS).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, code = line.strip().partition(" ")
        if not code.strip().isdigit() or not 1 <= int(code) <= len(RAFDB_CODES):
            raise InputError(
                f"{folder / RAFDB_LABELS}, line {number}: {line.strip()!r} should be like 'train_0001.jpg 8'"
            )
        if name.startswith(split):
            path = folder / "Image" / "aligned" / f"{Path(name).stem}_aligned.jpg"
            if not path.is_file():
                path = folder / "Image" / "original" / name
            if not path.is_file():
                raise InputError(
                    f"{folder / RAFDB_LABELS} names {name}, which is in neither Image/aligned nor original"
                )
            pictures.append(Picture(path, RAFDB_CODES[int(code) - 1]))
    return pictures
