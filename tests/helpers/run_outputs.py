"""Every output of fer-run at once."""

from __future__ import annotations

from pathlib import Path

WRITTEN = {"a.jsonl", "a.csv", "a.parquet", "a.mp4", "sum.json", "sum.png"}
"""Names of the files that ``everything`` makes."""


def everything(folder: Path) -> list[object]:
    names = {
        "--json": "a.jsonl",
        "--csv": "a.csv",
        "--parquet": "a.parquet",
        "--save": "a.mp4",
        "--summary": "sum.json",
    }
    return [word for name, file in names.items() for word in (name, folder / file)]
