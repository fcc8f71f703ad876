"""INT8: what the file looks like, that its ranges decide what it computes, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_conv import write_conv_bundle

import mien_export.quantize
from mien.bundle import find_bundle
from mien.engines import load_engine
from mien.errors import ModelInvalid
from mien_export.calibration_faces import FaceCrops, read_faces
from mien_export.correction import Channels, equalize, measure_channels
from mien_export.quantize import best_ranges, layers_of, measure, quantize
from mien_export.ranges import RANGES, Ranges, read_ranges

BUNDLE = find_bundle("default")
MODEL = BUNDLE.model_file("fp32")


@pytest.fixture(scope="module")
def faces() -> FaceCrops:
    return read_faces((), BUNDLE.card.crop)


@pytest.fixture(scope="module")
def ranges(faces: FaceCrops) -> Ranges:
    return Ranges("minmax", len(faces), faces.origin, measure(MODEL, faces.crops[::4], "minmax"))


@pytest.fixture(scope="module")
def corrected(faces: FaceCrops, tmp_path_factory: pytest.TempPathFactory) -> Ranges:
    exact, equal = onnx.load(MODEL), tmp_path_factory.mktemp("equal") / "equal.onnx"
    channels = measure_channels(exact, faces.crops[::4])
    onnx.save(equalize(exact, channels)[0], equal)
    return Ranges("minmax", 14, faces.origin, measure(equal, faces.crops[::4], "minmax"), channels=channels)


@pytest.fixture(scope="module")
def int8(ranges: Ranges, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    quantize(MODEL, ranges, path)
    return path


def test_every_layer_is_quantized_symmetrically_and_weights_per_channel(int8: Path) -> None:
    graph = onnx.load(int8).graph
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert [node.name for node in convolutions] == layers_of(MODEL)
    for node in convolutions:
        picture, weight = made_by[node.input[0]], made_by[node.input[1]]
        assert picture.op_type == weight.op_type == "DequantizeLinear"
        assert values[picture.input[1]].size == 1
        assert values[weight.input[1]].shape == (values[weight.input[0]].shape[0],)
        for dequantize in (picture, weight):
            zero = values[dequantize.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()


def test_it_is_small_and_says_nearly_the_same_on_real_faces(int8: Path, faces: FaceCrops) -> None:
    assert int8.stat().st_size < 0.3 * MODEL.stat().st_size
    exact, made = (load_engine(path).run(faces.crops)["expression"] for path in (MODEL, int8))
    assert 0 < np.abs(exact - made).mean() < 0.02
    assert (exact.argmax(1) == made.argmax(1)).mean() > 0.9


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_methods_give_ranges_within_the_extremes(method: str, faces: FaceCrops, ranges: Ranges) -> None:
    made = measure(MODEL, faces.crops[:8], method)
    assert set(made) == set(ranges.tensors)
    everything = measure(MODEL, faces.crops[:8], "minmax")
    for name, (low, high) in made.items():
        widest = max(map(abs, everything[name]))
        assert -1.01 * widest - 1e-3 <= low <= high <= 1.01 * widest + 1e-3, name
    assert made != everything


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_a_head_that_says_the_same_of_every_face_can_be_measured(method: str, faces: FaceCrops, tmp_path: Path) -> None:
    model = onnx.load(write_conv_bundle(tmp_path / "bundle") / "model.onnx")
    clip = next(node for node in model.graph.node if "affect" in node.output)
    model.graph.initializer.append(numpy_helper.from_array(np.float32([1e-7]), "tiny"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32([0.7]), "middle"))
    place = list(model.graph.node).index(clip)
    model.graph.node.insert(place, onnx.helper.make_node("Mul", ["raw", "tiny"], ["less"]))
    model.graph.node.insert(place + 1, onnx.helper.make_node("Add", ["less", "middle"], ["nearly one value"]))
    clip.input[0] = "nearly one value"
    onnx.save(model, tmp_path / "flat.onnx")
    small = np.ascontiguousarray(faces.crops[:8, :32, :32])
    made = measure(tmp_path / "flat.onnx", small, method)
    assert made["nearly one value"] == pytest.approx((-0.7, 0.7), abs=1e-3)
    quantize(tmp_path / "flat.onnx", Ranges(method, 8, "test", made), tmp_path / "int8.onnx")
    assert load_engine(tmp_path / "int8.onnx").run(small)["affect"] == pytest.approx(0.7, abs=0.01)


def test_ranges_decide_what_the_file_computes_and_travel_as_numbers(
    ranges: Ranges, int8: Path, faces: FaceCrops, tmp_path: Path
) -> None:
    (tmp_path / RANGES).write_text(ranges.to_json())
    quantize(MODEL, read_ranges(tmp_path / RANGES), tmp_path / "again.onnx")
    narrow = replace(ranges, tensors={name: (low / 8, high / 8) for name, (low, high) in ranges.tensors.items()})
    quantize(MODEL, narrow, tmp_path / "narrow.onnx")
    crops = faces.crops[:8]
    exact = load_engine(MODEL).run(crops)["expression"]
    gaps = [
        np.abs(load_engine(p).run(crops)["expression"] - exact).mean()
        for p in (int8, tmp_path / "again.onnx", tmp_path / "narrow.onnx")
    ]
    assert gaps[1] == pytest.approx(gaps[0], abs=1e-3)
    assert gaps[2] > 3 * gaps[0]


def test_corrections_make_it_lose_less(
    ranges: Ranges, corrected: Ranges, int8: Path, faces: FaceCrops, tmp_path: Path
) -> None:
    """``int8`` is what ranges without channels give, as files from before there were any have."""
    assert not ranges.channels.means
    quantize(MODEL, corrected, tmp_path / "both.onnx")
    only_biases = replace(ranges, channels=Channels({}, corrected.channels.means))
    quantize(MODEL, only_biases, tmp_path / "biases.onnx")
    paths = (MODEL, int8, tmp_path / "biases.onnx", tmp_path / "both.onnx")
    exact, *made = (load_engine(path).run(faces.crops)["expression"] for path in paths)
    none, biases, both = (np.abs(values - exact).mean() for values in made)
    assert both < biases < none
    assert both < 0.7 * none


def test_channels_travel_with_the_ranges(corrected: Ranges, tmp_path: Path) -> None:
    (tmp_path / RANGES).write_text(corrected.to_json())
    read = read_ranges(tmp_path / RANGES)
    assert (read.method, read.faces, read.origin, read.float_nodes) == ("minmax", 14, corrected.origin, ())
    for kind in ("largest", "means"):
        before, after = getattr(corrected.channels, kind), getattr(read.channels, kind)
        assert list(before) == list(after)
        assert len(before) == {"largest": 13, "means": 27}[kind]
        for name, values in before.items():
            np.testing.assert_allclose(after[name], values, rtol=1e-3)
    assert read.to_json() == corrected.to_json()
    assert (tmp_path / RANGES).stat().st_size < 150_000


def test_the_packaged_int8_is_what_the_packaged_ranges_give(faces: FaceCrops, tmp_path: Path) -> None:
    quantize(MODEL, read_ranges(BUNDLE.verified(RANGES)), tmp_path / "again.onnx")
    exact, packaged, again = (
        load_engine(path).run(faces.crops)["expression"]
        for path in (MODEL, BUNDLE.model_file("int8"), tmp_path / "again.onnx")
    )
    assert np.abs(packaged - again).mean() < 1e-4
    assert np.abs(packaged - exact).mean() < 0.01
    assert (packaged.argmax(1) == exact.argmax(1)).mean() > 0.97
    assert BUNDLE.model_file("int8").stat().st_size < 0.3 * MODEL.stat().st_size


def test_layers_named_float_stay_float(ranges: Ranges, tmp_path: Path) -> None:
    layer = next(node.name for node in onnx.load(MODEL).graph.node if node.op_type == "Conv")
    quantize(MODEL, replace(ranges, float_nodes=(layer,)), tmp_path / "int8.onnx")
    graph = onnx.load(tmp_path / "int8.onnx").graph
    (kept,) = [node for node in graph.node if node.name == layer]
    weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    assert weights[kept.input[1]].dtype == np.float32


def test_a_float_depthwise_layer_is_not_rounded_by_the_engine(ranges: Ranges, faces: FaceCrops, tmp_path: Path) -> None:
    """ONNX Runtime gave this one a single scale for its 1024 channels as it loaded the file, at any level, and a
    probability was 0.2 off on average."""
    quantize(MODEL, replace(ranges, float_nodes=("node_Conv_508",)), tmp_path / "float.onnx")
    exact, made = (load_engine(path).run(faces.crops)["expression"] for path in (MODEL, tmp_path / "float.onnx"))
    assert np.abs(made - exact).mean() < 0.01


def test_the_best_method_wins_and_costly_layers_stay_float(faces: FaceCrops, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ranges of one method that are far too narrow the other must win; and with a target that cannot be met, at
    most so many layers stay float, each of which makes the difference smaller."""
    real = measure

    def spoiled(model: Path, crops: np.ndarray, method: str) -> dict[str, tuple[float, float]]:
        made = real(model, crops, "minmax")
        return {name: (low / 16, high / 16) for name, (low, high) in made.items()} if method == "entropy" else made

    layers = layers_of(MODEL)
    monkeypatch.setattr(mien_export.quantize, "measure", spoiled)
    monkeypatch.setattr(mien_export.quantize, "TARGET", 0.0)
    monkeypatch.setattr(mien_export.quantize, "MAX_FLOAT_LAYERS", 3)
    monkeypatch.setattr(mien_export.quantize, "layers_of", lambda _: layers[:8])
    made = best_ranges(MODEL, faces.crops[:8], faces.crops[8:16], faces.origin, ("entropy", "minmax"))
    assert made.method == "minmax"
    assert set(made.float_nodes) <= set(layers[:8])
    assert len(made.float_nodes) <= 2
    assert made.faces == 8


def test_ranges_of_another_model_are_refused(ranges: Ranges, tmp_path: Path) -> None:
    renamed = replace(ranges, tensors={f"other_{name}": pair for name, pair in ranges.tensors.items()})
    with pytest.raises(ModelInvalid, match="not those of"):
        quantize(MODEL, renamed, tmp_path / "int8.onnx")
    with pytest.raises(ModelInvalid, match="no_such_layer"):
        quantize(MODEL, replace(ranges, float_nodes=("no_such_layer",)), tmp_path / "int8.onnx")
    with pytest.raises(ModelInvalid, match=r"not those of .*hardtanh"):
        quantize(MODEL, replace(ranges, channels=Channels({}, {"div": np.zeros(3)})), tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tensors": {"a": 1}}',
        '{"tensors": {}, "float_nodes": [], "x": 1}',
        '{"method": "minmax", "faces": 1, "origin": "", "tensors": {}, "float_nodes": [], "means": {"a": ["x"]}}',
        '{"method": "minmax", "faces": 1, "origin": "", "tensors": {}, "float_nodes": [], "means": {"a": [NaN]}}',
        '{"method": "minmax", "faces": 1, "origin": "", "tensors": {}, "float_nodes": [], "largest": {"a": 1}}',
        '{"method": "minmax", "faces": 1, "origin": "", "tensors": {}, "float_nodes": [], "largest": [1]}',
    ],
)
def test_broken_ranges_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / RANGES).write_text(text)
    with pytest.raises(ModelInvalid, match="does not contain calibration ranges"):
        read_ranges(tmp_path / RANGES)
