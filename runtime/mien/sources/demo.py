"""The demo picture: NASA's portrait of Eileen Collins, in the public domain, from scikit-image."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from mien.errors import SourceError


def demo_picture() -> Path:
    """The path of the demo picture in scikit-image, found without importing it, which would take a while."""
    package = find_spec("skimage")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "data" / "astronaut.png"
        if path.is_file():
            return path
    raise SourceError("the demo uses a picture that is part of scikit-image; run: pip install scikit-image")
