"""Change a bundle that a test may break: other files, with their sha256 in the card, and other values of the card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from mien.bundle import find_bundle
from mien.bundle.card import CARD
from mien.engines import load_engine
from mien.engines.golden import GOLDEN, golden_crops, golden_text


def change(folder: Path, files: Mapping[str, bytes] | None = None, **values: object) -> Path:
    """Write ``files`` into the bundle and its card, and set ``values`` of the card."""
    path = folder / CARD
    card = json.loads(path.read_text(encoding="utf-8")) | values
    for name, data in (files or {}).items():
        (folder / name).write_bytes(data)
        card["files"][name] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(card), encoding="utf-8")
    return folder


def add_golden(folder: Path, shift: float = 0.0) -> Path:
    """Golden outputs as fer-export makes them; ``shift`` is added to the valence of the first, to make them wrong."""
    bundle = find_bundle(folder)
    outputs = dict(load_engine(bundle.model_file(), threads=1).run(golden_crops(bundle.card.crop.size)))
    outputs["affect"][0, 0] += shift
    return change(folder, {GOLDEN: golden_text(outputs).encode()})
