"""Writes the table of figures into README.md, between its two marks: ``make readme``."""

from __future__ import annotations

from pathlib import Path

from figures import ROOT, FigureMissing, render

README = ROOT / "README.md"
BEGIN, END = "<!-- figures: written by make readme -->\n", "<!-- end of figures -->\n"
TABLE = Path(__file__).with_name("readme_table.jinja")


def table() -> str:
    """The table with its figures."""
    return render(TABLE.read_text(encoding="utf-8"), TABLE.name)


def main() -> None:
    text = README.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise FigureMissing(f"{README} must have the lines {BEGIN.strip()} and {END.strip()} once")
    head, rest = text.split(BEGIN)
    README.write_text(head + BEGIN + table() + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
