"""Calibration ranges: what quantizing needs to know about faces, as a file of the bundle. Numbers, not pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mien.errors import ModelInvalid
from mien_export.correction import Channels, Values

RANGES = "ranges.json"


@dataclass(frozen=True)
class Ranges:
    """``tensors``: lowest and highest value of each activation, of the network as ``channels`` equalize it.
    ``float_nodes``: layers that stay float. ``method``, ``faces`` and ``origin`` say how and on what they were
    measured. ``channels`` are those of the fp32 file; ranges without them are used without the corrections.
    """

    method: str
    faces: int
    origin: str
    tensors: dict[str, tuple[float, float]]
    float_nodes: tuple[str, ...] = ()
    channels: Channels = field(default_factory=lambda: Channels({}, {}))

    def to_json(self) -> str:
        """JSON with a line for each tensor; channels, of which there are thousands, have four digits."""
        about = {"method": self.method, "faces": self.faces, "origin": self.origin, "float_nodes": self.float_nodes}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in about.items()]
        for key, rows in (
            ("tensors", {name: [round(v, 6) for v in pair] for name, pair in sorted(self.tensors.items())}),
            ("largest", {name: _short(values) for name, values in self.channels.largest.items()}),
            ("means", {name: _short(values) for name, values in self.channels.means.items()}),
        ):
            inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
            lines.append(f"{json.dumps(key)}: {{\n{inner}\n }}")
        return "{\n " + ",\n ".join(lines) + "\n}\n"


def _short(values: Values) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def read_ranges(path: Path) -> Ranges:
    """The ranges in a file. Raises ModelInvalid for any other file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        tensors = {name: (float(low), float(high)) for name, (low, high) in values.pop("tensors").items()}
        channels = Channels(*(_arrays(values.pop(key, {})) for key in ("largest", "means")))
        return Ranges(
            **{**values, "tensors": tensors, "float_nodes": tuple(values["float_nodes"]), "channels": channels}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelInvalid(
            f"{path} does not contain calibration ranges ({error}); measure them anew with --data"
        ) from error


def _arrays(rows: dict[str, list[float]]) -> dict[str, Values]:
    arrays = {name: np.array(values, np.float64) for name, values in rows.items()}
    if not all(values.ndim == 1 and np.isfinite(values).all() for values in arrays.values()):
        raise ValueError("channels must be lists of numbers")
    return arrays
