"""A small archive, and a model that reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.batch.settings import Model, Settings, open_model
from mien.types import Image

pytest.importorskip("pyarrow")


@pytest.fixture(scope="session")
def model(tiny_bundle: Path) -> Model:
    return open_model(Settings(str(tiny_bundle), device="cpu"))


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, portrait: Image, make_clip: Callable[..., Path]) -> list[Path]:
    """Six pictures, a clip, a picture that is cut off and a video that is none."""
    folder = tmp_path_factory.mktemp("archive")
    for i in range(6):
        cv2.imwrite(str(folder / f"picture{i}.jpg"), np.roll(portrait, 9 * i, 1))
    make_clip(folder / "clip.mp4")
    (folder / "cut.jpg").write_bytes((folder / "picture0.jpg").read_bytes()[:3000])
    (folder / "none.mp4").write_bytes(b"\0\0 this is no video")
    return sorted(folder.iterdir())


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures a group."""
    monkeypatch.setattr("mien.batch.pieces.PICTURES", 2)
