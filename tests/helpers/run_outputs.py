"""Every output of fer-run at once."""

from __future__ import annotations

from pathlib import Path


def everything(folder: Path) -> list[object]:
    names = {
        "--json": "a.jsonl",
        "--csv": "a.csv",
        "--parquet": "a.parquet",
        "--save": "a.mp4",
        "--summary": "sum.json",
    }
    return [word for name, file in names.items() for word in (name, folder / file)]
