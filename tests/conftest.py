"""Fixtures that tests of several packages use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_bundle as tiny

from mien.sources.demo import demo_picture
from mien.types import Image


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests measure and detect stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("mien")))
        yield


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle with a tiny model, for tests that need an answer but not a good one."""
    return tiny.write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def portrait() -> Image:
    """uint8 BGR (512, 512, 3) with one face at about 178, 63 to 268, 176 px."""
    image = cv2.imread(str(demo_picture()))
    assert image is not None
    return np.asarray(image, dtype=np.uint8)


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
