"""The bundles that are shipped: they read a smile, fit their floors, and, with data, keep their cards' promise."""

import os
from pathlib import Path

import numpy as np
import pytest

from mien import Recognizer
from mien.bundle import find_bundle, packaged_names
from mien.tracking.temporal import TemporalEncoder
from mien.types import Affect, Expression

MODELS = [name for name in packaged_names() if name != "default"]
MOST_MACS = {"student": 300e6, "xs": 60e6, "compound": 300e6}


@pytest.mark.parametrize("model", MODELS)
def test_the_smiling_astronaut_is_happy_in_color_and_mirrored(model: str, portrait: np.ndarray) -> None:
    recognizer = Recognizer(model, threads=1)
    for picture in (portrait, portrait[:, ::-1]):
        (face,) = recognizer.predict(picture)
        assert face.expression.label == "happiness"
        assert face.expression.confidence > 0.5
        assert face.affect.valence > 0.2


@pytest.mark.parametrize("model", MODELS)
def test_it_fits_the_floors(model: str) -> None:
    recognizer = Recognizer(model, threads=1)
    assert recognizer.card.macs <= MOST_MACS[model]
    assert recognizer.card.training
    assert recognizer.card.limits


@pytest.mark.parametrize("model", MODELS)
def test_its_files_name_no_files_of_the_machine_that_made_them(model: str) -> None:
    for path in find_bundle(model).folder.iterdir():
        assert b'.py"' not in path.read_bytes(), path


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.skipif(not os.environ.get("MIEN_DATA"), reason="MIEN_DATA names no folder of data sets")
def test_it_keeps_its_cards_promise_on_real_faces(model: str) -> None:
    from mien_train.data.datasets import load_faces
    from mien_train.data.sets import prepare

    recognizer = Recognizer(model, threads=1)
    faces = load_faces("affectnet-subset/test", Path(os.environ["MIEN_DATA"]))
    faces = faces.subset(np.linspace(0, len(faces) - 1, 400).astype(int))
    item = prepare(faces, progress=False)
    crops = np.stack([item.crop(i, recognizer.card.crop) for i in range(len(faces))])
    made = recognizer._model.engine.run(crops)["expression"].argmax(1)
    promised = recognizer.card.metrics["affectnet-subset/test"]["accuracy"]
    assert (made == faces.expression).mean() > promised - 0.08  # 400 images: three standard errors


def test_the_temporal_encoder_costs_little_and_leaves_a_still_smile_one(portrait: np.ndarray) -> None:
    recognizer = Recognizer(threads=1)
    assert 0 < recognizer.card.temporal["macs"] <= 0.03 * recognizer.card.macs
    with recognizer.stream(temporal=True) as stream:
        for i in range(12):
            (face,) = stream.update(portrait, i / 25)
    assert face.expression.label == "happiness"
    assert face.affect.valence > 0.2


def test_the_temporal_encoder_goes_by_ages_and_not_by_order() -> None:
    """Streams keep tokens in any order."""
    encoder = TemporalEncoder(find_bundle("default"))
    rng = np.random.default_rng(0)
    count, state = encoder.spec.window - 1, encoder.spec.state
    said = Expression("neutral", 0.3, dict(zip(encoder.labels, [0.3, *[0.1] * 7], strict=True)))
    frame = said, Affect(0.1, 0.2), rng.normal(size=find_bundle("default").card.embedding).astype(np.float32)
    past, ages = rng.normal(size=(count, state)).astype(np.float32), np.linspace(0.04, 3.0, count, dtype=np.float32)
    order = rng.permutation(count)
    one, other, newer = (
        encoder.run([frame], kept[None], since[None])[0][0][0]
        for kept, since in ((past, ages), (past[order], ages[order]), (past, ages / 10))
    )
    assert one == pytest.approx(other, abs=1e-5)
    assert one != pytest.approx(newer, abs=1e-3)
