"""From a bundle to INT8, FP16 and OpenVINO with their proofs; and nothing half-written where one fails."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_conv import write_conv_bundle
from tiny_data import write_split

import mien_export.pack
from mien import Recognizer
from mien.bundle import find_bundle
from mien.bundle.card import read_card
from mien.engines.cores import int8_overflows
from mien.engines.golden import GOLDEN, check
from mien.errors import EngineUnavailable, InputError, ModelInvalid, OutputError
from mien_export.cli import main, parse_args, run
from mien_export.pack import Wanted, pack
from mien_export.proof import Limits, ProofError
from mien_export.ranges import RANGES, read_ranges


@pytest.fixture(scope="module")
def conv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_conv_bundle(tmp_path_factory.mktemp("conv") / "bundle")


@pytest.fixture(scope="module")
def whole(conv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("openvino")
    out = tmp_path_factory.mktemp("whole") / "bundle"
    # Where OpenVINO's int8 overflows its proof fails, as it should.
    pack(conv, out, Wanted(int8=True, half=True, openvino=True, force=int8_overflows()))
    return out


@pytest.mark.skipif(not int8_overflows(), reason="int8 is exact on this processor")
def test_a_proof_that_fails_for_want_of_vnni_says_so(conv: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(ProofError, match=r"openvino int8: .* has no VNNI"):
        pack(conv, tmp_path / "out", Wanted(int8=True, openvino=True))


def test_every_form_is_proven_and_named_in_the_card(whole: Path) -> None:
    card = read_card(whole)
    assert set(card.proofs) == {"int8", "fp16", "openvino fp32", "openvino int8"}
    for name, proof in card.proofs.items():
        assert proof["passed"] or (int8_overflows() and name == "openvino int8"), name
        assert proof["faces"] > 10
        assert proof["origin"].endswith("views of one portrait")
        assert set(proof["speedup"]) == {"1", "2"}
    assert 0 < card.proofs["int8"]["probability_max"] < 0.2
    assert card.proofs["fp16"]["probability_max"] < 5e-3
    assert card.proofs["openvino fp32"]["probability_max"] < 1e-3
    assert 0.4 < card.proofs["fp16"]["size"] < 0.9
    assert set(card.files) == {p.name for p in whole.iterdir()} - {"card.json", "MODEL_CARD.md"}
    assert {RANGES, GOLDEN, "model.int8.openvino.bin"} <= set(card.files)
    text = (whole / "MODEL_CARD.md").read_text()
    assert "| openvino int8 |" in text
    assert "views of one portrait" in text


@pytest.mark.parametrize("way", [("cpu", "int8"), ("cpu", "fp16"), ("openvino", "fp32"), ("openvino", "int8")])
def test_every_form_runs(way: tuple[str, str], whole: Path, portrait: np.ndarray) -> None:
    if way == ("openvino", "int8") and int8_overflows():
        pytest.skip("OpenVINO's int8 overflows on this processor")
    recognizer = Recognizer(whole, device=way[0], precision=way[1], threads=1)
    (face,), (exact,) = (
        recognizer.predict(portrait),
        Recognizer(whole, device="cpu", precision="fp32").predict(portrait),
    )
    assert recognizer.engine.endswith(way[1])
    assert face.expression.label == exact.expression.label
    assert face.affect.valence == pytest.approx(exact.affect.valence, abs=0.1)


def test_golden_outputs_are_those_of_the_packed_model(whole: Path) -> None:
    bundle = find_bundle(whole)
    made = check(mien_export.pack.load_engine(bundle.model_file("fp32")), bundle)
    assert made is not None
    assert max(made.values()) < 1e-4


def test_a_bundle_that_has_ranges_is_quantized_by_them_without_data(whole: Path, tmp_path: Path) -> None:
    ranges = read_ranges(whole / RANGES)
    narrow = replace(ranges, tensors={name: (low / 50, high / 50) for name, (low, high) in ranges.tensors.items()})
    altered = shutil.copytree(whole, tmp_path / "altered")
    (altered / RANGES).write_text(narrow.to_json())
    with pytest.raises(ModelInvalid, match="altered"):  # the card knows the file
        pack(altered, tmp_path / "out", Wanted(int8=True))
    card = read_card(altered)
    files = {**card.files, RANGES: mien_export.pack.sha256(altered / RANGES)}
    (altered / "card.json").write_text(replace(card, files=files).to_json())
    with pytest.raises(ProofError, match="labels stay the same"):
        pack(altered, tmp_path / "out", Wanted(int8=True))
    pack(altered, tmp_path / "out", Wanted(half=True))  # what is not made anew is kept, with its proof
    assert read_card(tmp_path / "out").proofs["int8"] == card.proofs["int8"]


def test_proofs_of_a_file_that_is_made_anew_are_dropped(conv: Path, tmp_path: Path) -> None:
    pack(conv, tmp_path / "first", Wanted(int8=True, half=True))
    card = read_card(tmp_path / "first")
    also = dict.fromkeys(("tensorrt int8", "dla:1 int8", "tensorrt fp16", "tensorrt fp32"), card.proofs["int8"])
    (tmp_path / "first/card.json").write_text(replace(card, proofs=card.proofs | also).to_json())
    pack(tmp_path / "first", tmp_path / "out", Wanted(int8=True))
    assert set(read_card(tmp_path / "out").proofs) == {"int8", "fp16", "tensorrt fp16", "tensorrt fp32"}
    pack(tmp_path / "first", tmp_path / "out", Wanted(half=True))
    assert set(read_card(tmp_path / "out").proofs) == {"int8", "fp16", "tensorrt int8", "dla:1 int8", "tensorrt fp32"}


def test_data_with_labels_calibrate_and_prove(conv: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    write_split(tmp_path / "faces", "test", portrait, list(range(8)) * 3, 0, "affect")
    data = (str(tmp_path / "faces/test-*.parquet"),)
    (proof,), parity = pack(conv, tmp_path / "out", Wanted(int8=True, data=data, limits=Limits(0.5, 2.0)))
    assert parity is None
    assert proof.accuracy is not None
    assert proof.ccc_valence is not None
    assert proof.origin == "faces/test-*.parquet"
    ranges = read_ranges(tmp_path / "out" / RANGES)
    assert ranges.origin == proof.origin
    assert [len(means) for means in ranges.channels.means.values()] == [3, 8]
    assert proof.faces < 24  # not those that the ranges were measured on
    (proof,), _ = pack(tmp_path / "out", tmp_path / "kept", Wanted(int8=True, data=data, keep_ranges=True,
                                                                 limits=Limits(0.5, 2.0)))  # fmt: skip
    assert proof.faces > 20
    assert (tmp_path / "kept" / RANGES).read_bytes() == (tmp_path / "out" / RANGES).read_bytes()


def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of nearly nothing: the INT8 file says the same of every face."""
    import mien_export.quantize as quantize

    real = quantize.measure

    def wrong(*given: object) -> dict[str, tuple[float, float]]:
        return {name: (low * 1e-4, high * 1e-4) for name, (low, high) in real(*given).items()}  # type: ignore[arg-type]

    monkeypatch.setattr(quantize, "measure", wrong)


def test_a_failed_proof_writes_nothing_unless_forced(
    conv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch)
    out = tmp_path / "out"
    assert run(parse_args([str(conv), "-o", str(out), "--int8"])) == 3
    said = capsys.readouterr().err
    assert "nothing written" in said
    assert "--force" in said
    assert list(tmp_path.iterdir()) == []
    assert run(parse_args([str(conv), "-o", str(out), "--int8", "--force"])) == 0
    assert "FORCED" in capsys.readouterr().err
    proof = read_card(out).proofs["int8"]
    assert proof["forced"]
    assert not proof["passed"]
    assert "FAILED" in (out / "MODEL_CARD.md").read_text()
    assert Recognizer(out).engine.endswith("fp32")  # auto does not pick what failed


def test_a_speed_that_cannot_be_had_is_refused(conv: Path, tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="times as fast"):
        pack(conv, tmp_path / "out", Wanted(half=True, limits=Limits(speedup=1000.0)))
    assert not (tmp_path / "out").exists()


def test_bad_input(conv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = shutil.copytree(conv, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"not onnx")
    out = tmp_path / "out"
    with pytest.raises(ModelInvalid, match="altered"):
        pack(broken, out, Wanted(int8=True))
    card = read_card(broken)
    (broken / "card.json").write_text(
        replace(card, files={"model.onnx": mien_export.pack.sha256(broken / "model.onnx")}).to_json()
    )
    with pytest.raises(ModelInvalid, match="cannot load"):
        pack(broken, out, Wanted(int8=True))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no face found"):
        pack(conv, out, Wanted(int8=True, data=(str(tmp_path / "empty"),)))
    with pytest.raises(InputError, match="no calibration ranges"):
        pack(conv, out, Wanted(int8=True, keep_ranges=True))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="cannot write"):
        pack(conv, tmp_path / "file" / "out", Wanted(half=True))
    with pytest.raises(OutputError, match="not a bundle"):
        pack(conv, tmp_path / "file", Wanted(half=True))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien_export.fp16.onnx.save", full)
    with pytest.raises(OutputError, match="No space left"):
        pack(conv, out, Wanted(half=True))
    assert not out.exists()
    assert not list(tmp_path.glob(".out*"))


def test_int8_needs_no_torch(conv: Path, tmp_path: Path) -> None:
    """``fer-export --int8`` on a machine without a framework, from start to end, in a folder of its own."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['timm'] = None\n"
        f"sys.argv = ['fer-export', {str(conv)!r}, '--int8']\n"
        "from mien_export.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "same label" in result.stdout
    (made,) = tmp_path.iterdir()
    assert made.name == "conv-int8"
    assert json.loads((made / "card.json").read_text())["proofs"]["int8"]["passed"]


def test_what_is_missing_is_said(
    conv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "mien_export.openvino_ir", raising=False)
    monkeypatch.setattr(sys, "argv", ["fer-export", str(conv), "-o", str(tmp_path / "out"), "--openvino"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "openvino" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tensorrt_is_proven_where_it_is_and_asked_for_where_not(
    conv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineUnavailable, match="tensorrt"):
        pack(conv, tmp_path / "out", Wanted(tensorrt="tensorrt"))
    with pytest.raises(InputError, match="--half or --int8"):
        pack(conv, tmp_path / "out", Wanted(tensorrt="dla:0"))
    assert not (tmp_path / "out").exists()
    real, asked = mien_export.pack.load_engine, []

    def stand_in(path: Path, *, device: str = "cpu", threads: int | None = None, precision: str = "fp32") -> object:
        if device != "cpu":
            asked.append((path.name, device, precision))
        return real(path, device="cpu", threads=threads)

    monkeypatch.setattr(mien_export.pack, "load_engine", stand_in)
    pack(conv, tmp_path / "out", Wanted(half=True, tensorrt="tensorrt"))
    assert {"tensorrt fp32", "tensorrt fp16", "fp16"} == set(read_card(tmp_path / "out").proofs)
    assert set(asked) == {("model.onnx", "tensorrt", "fp32"), ("model.fp16.onnx", "tensorrt", "fp16")}
