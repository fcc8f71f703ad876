"""A bundle of compounds in INT8: proven on faces that show them, and packed without fp32."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_card import change
from tiny_conv import write_conv_bundle
from tiny_data import face_jpeg

from mien import Recognizer
from mien.bundle.card import read_card
from mien.errors import EngineUnavailable, InputError
from mien_export.cli import parse_args, run
from mien_export.pack import Wanted, pack

LABELS = ("neutral", "happiness", "fear", "sadly angry", "sadly fearful", "awed", "hatred", "appalled")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return change(write_conv_bundle(tmp_path / "conv"), labels=LABELS)


@pytest.fixture
def faces(portrait: np.ndarray, tmp_path: Path) -> Path:
    """Two faces in five have a label of the bundle, one of the two a compound."""
    kinds = [(0, "neutral"), (-1, "sadly angry"), (6, "anger"), (-1, "fear"), (-1, "happily disgusted")]
    rows = [
        {
            "image": {"bytes": face_jpeg(portrait, i % 8, i), "path": None},
            # By fives, since every fifth face is drawn for the same purpose.
            "expression": kinds[i // 5 % 5][0],
            "category": kinds[i // 5 % 5][1],
        }
        for i in range(60)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "faces.parquet")
    return tmp_path / "faces.parquet"


def test_int8_alone_is_a_whole_bundle(bundle: Path, faces: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "small"
    arguments = [str(bundle), "-o", str(out), "--int8-only", "--data", str(faces), "--force"]
    assert run(parse_args(arguments)) == 0
    card = read_card(out)
    assert sorted(card.files) == ["golden.json", "model.int8.onnx"]
    assert list(card.proofs) == ["int8"]
    assert card.proofs["int8"]["accuracy"] is not None, "the labels of these faces are known, compounds too"
    assert card.proofs["int8"]["agreement"] > 0.9
    assert "fp32 itself is not in this bundle" in (out / "MODEL_CARD.md").read_text()
    (face,) = Recognizer(out, device="cpu", precision="int8", threads=1).predict(portrait)
    assert tuple(face.expression.probabilities) == LABELS
    with pytest.raises(EngineUnavailable, match="has no fp32 model; it holds int8; export its checkpoint again"):
        pack(out, tmp_path / "more", Wanted(half=True))


def test_int8_alone_goes_with_no_other_form(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave out --half"):
        pack(bundle, tmp_path / "more", Wanted(int8=True, int8_only=True, half=True))
    assert not (tmp_path / "more").exists()
