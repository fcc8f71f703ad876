"""Takes files of the repository that pages link to into the site, so the same link works there and in the repository.

``[labels-s.toml](../../train/mien_train/recipes/labels-s.toml)`` becomes a link to ``files/train/...`` of the site. A
Markdown file that is linked to becomes a page, with its own links.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(\]\(|\bsrc=\")([^)\s#\"]+)")
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2\s*$", re.M | re.S)
TEXT = {".md", ".png", ".jpg", ".svg", ".json", ".toml"}
"""What browsers show. Other files, such as code, go along as text."""


def links(page: Path, text: str) -> Iterator[tuple[str, Path]]:
    """The relative links of ``page`` that leave docs/, as written, and the file that each names."""
    for _, target in LINK.findall(FENCE.sub("", text)):
        if not re.match(r"[a-z]+:|/", target):
            file = Path(os.path.normpath(page.parent / target))
            if not file.is_relative_to(DOCS) and file.is_relative_to(ROOT):
                yield target, file


def place(file: Path) -> str:
    """Where ``file`` stands in the site."""
    name = f"files/{file.relative_to(ROOT).as_posix()}"
    return name if file.suffix in TEXT else f"{name}.txt"


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """MkDocs calls this with the files of docs/; adds those that they link to, and those that those link to."""
    from mkdocs.exceptions import PluginError
    from mkdocs.structure.files import File

    pages = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    added: set[Path] = set()
    while pages:
        page = pages.pop()
        for target, file in links(page, page.read_text(encoding="utf-8")):
            if not file.is_file():
                raise PluginError(f"{page.relative_to(ROOT)} links to {target}, and there is no such file")
            if file not in added:
                added.add(file)
                files.append(File.generated(config, place(file), abs_src_path=str(file)))
                if file.suffix == ".md":
                    pages.append(file)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs calls this for each page; its links to the repository become links of the site."""
    source = Path(page.file.abs_src_path or DOCS)
    here = os.path.dirname(page.file.src_uri)
    inside = not source.is_relative_to(DOCS)
    for target, file in dict(links(source, markdown)).items():
        there = os.path.relpath(place(file), here or ".")
        markdown = re.sub(rf"(\]\(|\bsrc=\"){re.escape(target)}(?=[)#\"\s])", rf"\g<1>{there}", markdown)
    if inside:  # links of a file of the repository to a page of docs/
        markdown = re.sub(r"(\]\()(?:\./)?docs/", rf"\g<1>{os.path.relpath('.', here)}/", markdown)
    return markdown
