"""EmoNet's checkpoint as ONNX: its golden output again, now by ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tiny_emonet as known
import torch

import mien_export.emonet
from mien.errors import InputError, ModelInvalid, OutputError
from mien_export.cli import parse_args, run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("emonet") / "emonet_8.pth"
    torch.save(known.golden_state(), path)
    return path


def test_exported_emonet_gives_the_golden_output(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "emonet_8.onnx"
    assert run(parse_args([str(checkpoint), "-o", str(out)])) == 0
    assert list(out.parent.iterdir()) == [out]
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == list(mien_export.emonet.OUTPUTS)
    made = dict(
        zip(mien_export.emonet.OUTPUTS, session.run(None, {"image": known.golden_picture().numpy()}), strict=True)
    )
    np.testing.assert_allclose(made["expression"], [known.EXPRESSION], atol=1e-3)
    np.testing.assert_allclose([made["valence"], made["arousal"]], [[known.VALENCE], [known.AROUSAL]], atol=1e-3)
    assert made["heatmap"].shape == (1, 68, 64, 64)
    assert made["heatmap"].mean() == pytest.approx(known.HEATMAP_MEAN, abs=1e-3)


def test_a_wrong_export_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(network: object, image: object, path: Path, *_: object) -> None:
        import onnx
        from onnx import TensorProto, helper

        given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 256, 256])
        names = mien_export.emonet.OUTPUTS
        nodes = [helper.make_node("ReduceMean", ["image"], [name], keepdims=0) for name in names]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in names]
        graph = helper.make_graph(nodes, "wrong", [given], outputs)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)

    monkeypatch.setattr(mien_export.emonet, "quiet_export", wrong)
    assert run(parse_args([str(checkpoint), "-o", str(tmp_path / "emonet.onnx")])) == 3
    assert "nothing written: the exported EmoNet differs from torch by" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_emonet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "emonet_8.pth"
    with pytest.raises(InputError, match="no EmoNet checkpoint"):
        run(parse_args([str(path), "-o", str(tmp_path / "out.onnx")]))
    path.write_text("no checkpoint")
    with pytest.raises(ModelInvalid, match="is not a checkpoint of EmoNet"):
        run(parse_args([str(path), "-o", str(tmp_path / "out.onnx")]))


def test_what_is_not_for_emonet_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    given = [str(checkpoint), "-o", str(tmp_path / "out.onnx"), "--int8", "--half", "--triton", "D", "--data", "X"]
    with pytest.raises(InputError, match=r"one ONNX file: leave out --int8, --half, --data, --triton$"):
        run(parse_args(given))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_refused_before_the_export(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise RuntimeError("exported first")

    monkeypatch.setattr(mien_export.emonet, "quiet_export", dies)
    with pytest.raises(OutputError, match="is a folder"):
        run(parse_args([str(checkpoint), "-o", str(tmp_path)]))
