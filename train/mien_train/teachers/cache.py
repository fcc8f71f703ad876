"""Teacher outputs on disk: computed once for each image of a set, read by every training run.

There is one parquet file per set and teacher, with one row per image. The key is the hash of the encoded image, so
neither the order of the rows nor a held-out part matters. The file's metadata name the teacher, by its identity hash,
and the crop that it saw.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mien.errors import InputError
from mien.files import replacing
from mien_train.data.batches import Faces, Taught
from mien_train.data.datasets import FaceSet
from mien_train.data.landmarks import file_stem
from mien_train.loop.precision import warn_of_emulation
from mien_train.teachers.base import Teacher
from mien_train.teachers.outputs import teacher_outputs

FLOAT = np.float32


def write_cache(teacher: Teacher, item: Faces, folder: Path, precision: str = "no") -> Path:
    """Compute the outputs for every image of ``item`` and write them, unless there is a file of this teacher already.

    ``precision``: ``bf16`` runs torch networks in mixed precision, about twice as fast on CPUs that support it.
    """
    path = cache_file(folder, item.faces.name, teacher)
    if path.exists():
        return path
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    warn_of_emulation(precision, kind)
    with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
        taught = teacher_outputs(teacher, item, progress=True)
    columns = {
        "image": [image_key(item.faces, i) for i in range(len(item.faces))],
        "logits": list(taught.logits),
        "affect": list(taught.affect),
        "embedding": list(taught.embedding.astype(np.float16)),
    }
    about = {"teacher": teacher.identity, "name": teacher.name, "crop": asdict(teacher.crop), "set": item.faces.name}
    about["precision"] = precision
    table = pa.table(columns).replace_schema_metadata({"mien": json.dumps(about)})
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        pq.write_table(table, aside, compression="zstd")
    return path


def read_cache(teacher: Teacher, faces: FaceSet, folder: Path) -> Taught:
    """The outputs for ``faces``, in their order.

    Raises InputError where there is no file, or where it is of another teacher or crop, or lacks images of the set.
    """
    path = cache_file(folder, faces.name, teacher)
    again = f"run: fer-train cache TEACHER {faces.name} -o {folder}"
    if not path.is_file():
        others = sorted(p.name for p in folder.glob(f"{file_stem(faces.name)}-*.parquet"))
        found = f"only of other teachers or crops ({', '.join(others)})" if others else "no outputs"
        raise InputError(
            f"{folder} holds {found} for {faces.name}, not those of {teacher.name} ({teacher.identity}); {again}"
        )
    table = pq.read_table(path)
    about = json.loads((table.schema.metadata or {}).get(b"mien", b"{}"))
    if about.get("teacher") != teacher.identity or about.get("crop") != asdict(teacher.crop):
        raise InputError(f"{path} was made by another teacher, or from another crop; remove it and {again}")
    rows = {key: row for row, key in enumerate(table["image"].to_pylist())}
    order = [rows.get(image_key(faces, i), -1) for i in range(len(faces))]
    missing = order.count(-1)
    if missing:
        raise InputError(f"{path} lacks {missing} of the {len(faces)} images of {faces.name}; remove it and {again}")
    columns = (np.array(table[name].to_pylist(), FLOAT)[order] for name in ("logits", "affect", "embedding"))
    return Taught(*columns)


def cache_file(folder: Path, name: str, teacher: Teacher) -> Path:
    return folder / f"{file_stem(name)}-{teacher.identity}.parquet"


def image_key(faces: FaceSet, i: int) -> str:
    return hashlib.sha256(faces.encoded(i)).hexdigest()[:32]
