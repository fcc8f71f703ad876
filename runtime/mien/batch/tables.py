"""Tables of faces as Parquet files that hold the rows of their inputs too, so that both are there or neither is."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mien.batch.rows import Row, arrow, as_json, from_json
from mien.sinks.parquet import COMPRESSION

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, MORE = b"mien.inputs", b"mien.segment"
"""Keys in the metadata of a file."""
GROUP_ROWS = 2**16
"""Rows of a row group."""


class Table(NamedTuple):
    """Faces, the rows of the inputs in which they were seen, and for a segment what its neighbors must agree with."""

    faces: pa.Table
    rows: list[Row]
    more: Mapping[str, Any] | None = None


def encoded(table: Table) -> bytes:
    """A Parquet file. Its bytes depend on nothing but the content, so two runs can be compared."""
    import pyarrow.parquet as pq

    told = {ROWS: as_json(table.rows)} | ({} if table.more is None else {MORE: json.dumps(table.more).encode()})
    out = io.BytesIO()
    faces = table.faces.combine_chunks().replace_schema_metadata(None)
    with pq.ParquetWriter(out, faces.schema, compression=COMPRESSION, store_schema=False) as writer:
        writer.add_key_value_metadata(told)
        writer.write_table(faces, row_group_size=GROUP_ROWS)
    return out.getvalue()


def decoded(path: Path) -> Table:
    """A file that ``encoded`` made, as a whole. Errors are pyarrow's."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        told = file.metadata.metadata or {}
        faces = file.read().replace_schema_metadata(None)
    return Table(faces, from_json(told[ROWS]), json.loads(told.get(MORE, b"null")))


def rows_in(path: Path) -> list[Row]:
    """The rows of the inputs of a file that ``encoded`` made. ValueError or OSError if it is not whole."""
    import pyarrow.parquet as pq

    told = pq.read_metadata(path).metadata or {}
    if ROWS not in told:
        raise ValueError("it holds no rows of inputs")
    return from_json(told[ROWS])


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, in order."""
    return arrow().concat_tables(tables)
