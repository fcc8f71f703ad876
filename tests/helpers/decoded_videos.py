"""What is read of a video or said where it is refused, and the frames as PyAV gives them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mien.errors import SourceError
from mien.sources.factory import open_source
from mien.types import Image

CLOSE = 1.5
"""Mean difference of the gray levels of two conversions of one frame."""


def reference(path: Path) -> list[Image]:
    """The frames as PyAV gives them."""
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def read(path: Path) -> tuple[str | None, list[Image]]:
    with open_source(path) as source:
        return source.decoder, [frame.image for frame in source]


def check_frames(images: list[Image], expected: list[Image]) -> None:
    assert [image.shape for image in images] == [image.shape for image in expected]
    for image, other in zip(images, expected, strict=True):
        assert np.abs(image.astype(int) - other).mean() < CLOSE


def read_or_refusal(path: Path) -> tuple[list[Image], str]:
    """What is read, or else the words of the refusal: versions of OpenCV differ in what they can read."""
    try:
        return read(path)[1], ""
    except SourceError as error:
        return [], str(error)


def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "mien.sources.decoders.pyav", raising=False)
