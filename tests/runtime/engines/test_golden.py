"""Golden outputs: the same pictures everywhere, and a check that sees what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tiny_card import add_golden, change

from mien.bundle import find_bundle
from mien.engines import Engine, load_engine
from mien.engines.golden import GOLDEN, PICTURES, TOLERANCES, agrees, check, golden_crops, golden_text, read_golden
from mien.errors import ModelInvalid
from mien.types import Floats, Image

ROW = [0.125] * 8
WHOLE = {"pictures": PICTURES, "expression": [ROW] * 6, "affect": [[0.0, 0.5]] * 6}


class Changed:
    """An engine whose outputs go through ``change`` first."""

    name = "changed"

    def __init__(self, folder: Path, **outputs: object):
        self.engine: Engine = load_engine(find_bundle(folder).model_file(), threads=1)
        self.outputs = outputs

    def run(self, batch: Image) -> Mapping[str, Floats]:
        made = dict(self.engine.run(batch))
        for name, new in self.outputs.items():
            made[name] = new(made[name])  # type: ignore[operator]
        return made


@pytest.fixture
def golden_bundle(bundle_copy: Path) -> Path:
    return add_golden(bundle_copy)


def test_the_pictures_are_the_same_bytes_everywhere() -> None:
    """Where this fails, and the pictures were meant to change, PICTURES has to be raised too."""
    assert PICTURES == 1
    for size, digest in (
        (112, "4a1d06362b2866d700070ac73fb83c6625568f3537d3fad78152576f1cc8ff79"),
        (160, "fd7366ed88417e8d6585e6e4f75414852cd880a95ae485e99f8a48f0771ef2f5"),
    ):
        crops = golden_crops(size)
        assert (crops.shape, crops.dtype) == ((6, size, size, 3), np.uint8)
        assert hashlib.sha256(crops.tobytes()).hexdigest() == digest


@pytest.mark.parametrize("size", [16, 97, 224])
def test_the_pictures_of_any_size_look_alike(size: int) -> None:
    means = golden_crops(size).astype(float).mean(axis=(1, 2))
    np.testing.assert_allclose(means, golden_crops(112).astype(float).mean(axis=(1, 2)), atol=6)


def test_the_student_tells_the_pictures_and_what_was_done_to_them_apart() -> None:
    """Else golden outputs would pass on an engine that mixes up crops or channels."""
    engine = load_engine(find_bundle().model_file(), threads=1)
    crops = golden_crops(find_bundle().card.crop.size)
    made = engine.run(crops)["expression"]
    assert min(np.abs(a - b).max() for a, b in combinations(made, 2)) > 0.05
    for other in (crops[..., ::-1], crops.transpose(0, 2, 1, 3), crops[:, ::-1]):
        gap = np.abs(engine.run(np.ascontiguousarray(other))["expression"] - made).max()
        assert gap > 2 * TOLERANCES["int8"]


def test_what_was_written_is_what_the_engine_gives(golden_bundle: Path) -> None:
    differences = check(Changed(golden_bundle), find_bundle(golden_bundle))
    assert differences is not None
    assert set(differences) == {"expression", "affect"}
    assert max(differences.values()) < 1e-6


def test_numbers_have_six_decimals() -> None:
    outputs = {"expression": np.full((6, 8), 1 / 3, np.float32), "affect": np.full((6, 2), -2 / 3, np.float32)}
    values = json.loads(golden_text(outputs | {"embedding": np.zeros((6, 4), np.float32)}))
    assert values == {"pictures": PICTURES, "expression": [[0.333333] * 8] * 6, "affect": [[-0.666667] * 2] * 6}


def test_a_bundle_without_golden_outputs_is_not_checked(bundle_copy: Path) -> None:
    (bundle_copy / GOLDEN).write_text("not named by the card, so not of the bundle")
    assert check(Changed(bundle_copy), find_bundle(bundle_copy)) is None


def test_one_wrong_number_is_seen(golden_bundle: Path) -> None:
    bundle, last = find_bundle(golden_bundle), np.zeros((6, 8), np.float32)
    last[5, 7] = -0.25
    differences = check(Changed(golden_bundle, expression=lambda x: x + last), bundle)
    assert differences == {"expression": pytest.approx(0.25, abs=1e-6), "affect": pytest.approx(0, abs=1e-6)}
    differences = check(Changed(golden_bundle, affect=lambda x: x - 0.5), bundle)
    assert differences == {"expression": pytest.approx(0, abs=1e-6), "affect": pytest.approx(0.5, abs=1e-6)}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_never_agree(golden_bundle: Path, bad: float) -> None:
    def spoil(values: Floats) -> Floats:
        values = values.copy()
        values[2, 1] = bad
        return values

    differences = check(Changed(golden_bundle, affect=spoil), find_bundle(golden_bundle))
    assert differences is not None
    assert differences["affect"] == float("inf")
    assert not any(agrees(differences, precision) for precision in TOLERANCES)


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-3), ("fp16", 0.01), ("int8", 0.15)])
def test_limits(precision: str, limit: float) -> None:
    assert agrees({"expression": 0.99 * limit, "affect": 1.99 * limit}, precision)
    assert not agrees({"expression": 1.01 * limit, "affect": 0.0}, precision)
    assert not agrees({"expression": 0.0, "affect": 2.01 * limit}, precision)


@pytest.mark.parametrize(
    "outputs", [{"expression": lambda x: x[:, :7]}, {"affect": lambda x: x[:5]}, {"affect": lambda x: x.ravel()}]
)
def test_an_engine_with_outputs_of_another_shape(golden_bundle: Path, outputs: dict[str, object]) -> None:
    with pytest.raises(ModelInvalid, match="of changed is"):
        check(Changed(golden_bundle, **outputs), find_bundle(golden_bundle))


def test_an_altered_file_is_refused(golden_bundle: Path) -> None:
    path = golden_bundle / GOLDEN
    path.write_text(path.read_text().replace("0.", "0.0", 1))
    with pytest.raises(ModelInvalid, match="altered"):
        check(Changed(golden_bundle), find_bundle(golden_bundle))
    path.unlink()
    with pytest.raises(ModelInvalid, match="missing"):
        check(Changed(golden_bundle), find_bundle(golden_bundle))


def test_a_whole_file_is_read(bundle_copy: Path) -> None:
    change(bundle_copy, {GOLDEN: json.dumps(WHOLE).encode()})
    golden = read_golden(find_bundle(bundle_copy))
    assert golden is not None
    np.testing.assert_array_equal(golden["expression"], WHOLE["expression"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "[" * 100_000,
        "\ud800",
        *(json.dumps({key: value for key, value in WHOLE.items() if key != left}) for left in WHOLE),
        json.dumps(WHOLE | {"pictures": PICTURES + 1}),
        json.dumps(WHOLE | {"expression": [ROW] * 5}),
        json.dumps(WHOLE | {"expression": [ROW] * 5 + [ROW[:7]]}),
        json.dumps(WHOLE | {"expression": [ROW[:7]] * 6}),
        json.dumps(WHOLE | {"expression": [[float("nan")] * 8] * 6}),
        json.dumps(WHOLE | {"expression": [["much"] * 8] * 6}),
        json.dumps(WHOLE | {"affect": 0.5}),
        json.dumps(WHOLE | {"affect": None}),
        json.dumps(WHOLE | {"affect": {"valence": 1}}),
    ],
)
def test_a_broken_file_is_invalid(bundle_copy: Path, text: str) -> None:
    change(bundle_copy, {GOLDEN: text.encode("utf-8", "surrogatepass")})
    with pytest.raises(ModelInvalid, match="export the bundle again"):
        check(Changed(bundle_copy), find_bundle(bundle_copy))
