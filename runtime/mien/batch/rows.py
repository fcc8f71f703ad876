"""The row of an input in the index, and the schema of the index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mien.batch.inputs import Input
from mien.errors import LibraryBroken

if TYPE_CHECKING:
    import pyarrow as pa

DONE, FAILED = "done", "failed"
DIED = "the worker that read it was killed, twice; it may want more memory than there is, or crash a decoder"


@dataclass(frozen=True)
class Row:
    """What is known of an input after it was read.

    Attributes:
        input: Its name.
        state: ``done`` or ``failed``.
        error: Why it failed; empty if it is done.
        warnings: What was noticed while it was read, such as an end that is cut off; empty if nothing.
        size: In bytes, or None if unknown.
        version: Of the file; see ``Input``.
        sha256: Of the file's content; empty if it could not be read.
        frames: Number of frames; 1 for a picture.
        faces: Number of rows in the table of faces.
        seconds: Duration of a video; 0 for a picture.
        expressions: Number of faces by label.
        valence: Mean over all faces, or None if there are none.
        arousal: Likewise.
        model: Name of the model, with the start of its checksum.
        part: File with its faces, in the folder ``faces``.
    """

    input: str
    state: str = DONE
    error: str = ""
    warnings: str = ""
    size: int | None = None
    version: str = ""
    sha256: str = ""
    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    expressions: Mapping[str, int] = field(default_factory=dict)
    valence: float | None = None
    arousal: float | None = None
    model: str = ""
    part: str = ""


def new_row(item: Input, part: str, model: str) -> Row:
    return Row(item.name, size=item.size, version=item.version, model=model, part=part)


def failed_row(row: Row, error: str) -> Row:
    """The row of an input that could not be read: it has no faces."""
    return replace(
        row, state=FAILED, error=error, frames=0, faces=0, seconds=0.0, expressions={}, valence=None, arousal=None
    )


def with_faces(row: Row, faces: pa.Table) -> Row:
    """The row with the figures of its table of faces."""
    import pyarrow.compute as pc

    counts = sorted(
        ((entry["values"], entry["counts"]) for entry in faces["expression"].value_counts().to_pylist()),
        key=lambda entry: (-entry[1], entry[0]),
    )
    means = [pc.mean(faces[name]).as_py() for name in ("valence", "arousal")]
    valence, arousal = (None if mean is None else round(mean, 6) for mean in means)
    return replace(row, faces=len(faces), expressions=dict(counts), valence=valence, arousal=arousal)


def index_schema() -> pa.Schema:
    """The columns of ``index.parquet``."""
    pa = arrow()
    whole, number, text = pa.int64(), pa.float64(), pa.string()
    required = {"frames": whole, "faces": whole, "seconds": number, "expressions": pa.map_(text, whole)}
    optional = {"size": whole, "valence": number, "arousal": number}
    return pa.schema(
        [
            pa.field(name, required.get(name) or optional.get(name) or text, nullable=name in optional)
            for name in Row.__dataclass_fields__
        ]
    )


def index_table(rows: Sequence[Row]) -> pa.Table:
    """The index: a row an input, sorted by name."""
    pa = arrow()
    dicts = [asdict(row) for row in sorted(rows, key=lambda row: row.input)]
    for row in dicts:
        row["expressions"] = list(row["expressions"].items())
    return pa.Table.from_pylist(dicts, index_schema())


def rows_of_index(table: pa.Table) -> list[Row]:
    return [Row(**{**row, "expressions": dict(row["expressions"])}) for row in table.to_pylist()]


def as_json(rows: Sequence[Row]) -> bytes:
    return json.dumps([asdict(row) for row in rows]).encode()


def from_json(text: bytes) -> list[Row]:
    found: list[dict[str, Any]] = json.loads(text)
    return [Row(**row) for row in found]


def arrow() -> Any:
    """pyarrow. LibraryBroken if it is missing."""
    try:
        import pyarrow
    except ImportError as error:
        raise LibraryBroken(f'tables need pyarrow ({error}); run: pip install "mien[batch]"') from error
    return pyarrow
