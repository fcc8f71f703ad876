"""Drawn exemplars, and the packaged model with nothing learned yet."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_faces import WIDTH, drawn

from mien import Recognizer
from mien.enrollment.classes import Personal
from mien.enrollment.reference_faces import Exemplars


@pytest.fixture(scope="module")
def exemplars() -> Exemplars:
    faces = drawn(1600, 0)
    mean = faces.embedding.mean(0)
    return Exemplars(
        np.arange(1600) % 8,
        np.arange(1600) // 800,
        faces.probabilities,
        faces.embedding - mean,
        mean,
        np.eye(WIDTH, dtype=np.float32),
        "drawn",
    )


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(device="cpu", precision="fp32", threads=1)


@pytest.fixture
def fresh(recognizer: Recognizer) -> Recognizer:
    recognizer.personal = Personal(recognizer.personal.model, recognizer.personal.basic)
    return recognizer
