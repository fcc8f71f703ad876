"""A model repository for Triton: its configuration in Triton's own format, and its files."""

import os
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tiny_conv import write_conv_bundle
from triton_stand_in import config_of
from tritonclient.grpc.model_config_pb2 import DataType, ModelInstanceGroup

from mien_export.cli import main, parse_args, run

ORT_TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("triton") / "models"
    assert run(parse_args(["--triton", str(out)])) == 0
    return out


@pytest.mark.parametrize("model", ["mien_detector", "mien_student"])
def test_the_configuration_fits_the_graph(repository: Path, model: str) -> None:
    config, session = config_of(repository / model), onnxruntime.InferenceSession(repository / model / "1/model.onnx")
    assert config.name == model
    batch = [-1] if config.max_batch_size else []
    for described, graph in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        told = {one.name: (DataType.Name(one.data_type), [*batch, *one.dims]) for one in described}
        held = {o.name: (ORT_TYPES[o.type], [d if isinstance(d, int) else -1 for d in o.shape]) for o in graph}
        assert told == held
    assert config.instance_group[0].kind == ModelInstanceGroup.KIND_AUTO
    assert config.backend == "onnxruntime"
    for warm in config.model_warmup:
        assert 1 <= warm.batch_size <= max(1, config.max_batch_size)
        (value,) = warm.inputs.values()
        session.run(None, {config.input[0].name: _zeros(list(value.dims), warm.batch_size if batch else None)})


def _zeros(dims: list[int], batch: int | None) -> object:
    return np.zeros(dims if batch is None else [batch, *dims], np.uint8)


def test_crops_of_several_requests_are_read_together(repository: Path) -> None:
    config = config_of(repository / "mien_student")
    assert max(config.dynamic_batching.preferred_batch_size) <= config.max_batch_size
    labels = repository / "mien_student" / config.output[0].label_filename
    assert labels.read_text().split() == [
        "neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt",
    ]  # fmt: skip
    frames = config_of(repository / "mien")
    assert int(frames.parameters["crops_at_once"].string_value) == config.max_batch_size
    assert frames.parameters["student"].string_value == "mien_student"
    assert frames.backend == "python"
    assert (repository / "mien/1/model.py").is_file()


def test_tensorrt_comes_with_a_script_that_builds_the_plans(tmp_path: Path) -> None:
    out = tmp_path / "models"
    assert run(parse_args(["--triton", str(out), "--backend", "tensorrt", "--precision", "int8"])) == 0
    assert {config_of(out / name).backend for name in ("mien_detector", "mien_student")} == {"tensorrt"}
    program = tmp_path / "trtexec"
    program.write_text(
        '#!/bin/sh\nfor word in "$@"; do echo "$word"; case $word in --saveEngine=*) : >"${word#*=}";; esac; done\n'
    )
    program.chmod(0o755)
    made = subprocess.run(
        [out / "build_plans.sh"], env={**os.environ, "TRTEXEC": str(program)}, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    words = made.stdout.split()
    for model, dims in (("mien_detector", (-1, -1, 3)), ("mien_student", (112, 112, 3))):
        assert (out / model / "1/model.plan").is_file()
        name = config_of(out / model).input[0].name
        shapes = [word.rpartition(":")[2] for word in words if f"Shapes={name}:" in word]
        assert len(shapes) == 3
        for shape in shapes:
            sides = tuple(map(int, shape.split("x")))[1:]
            assert all(known in (-1, side) for side, known in zip(sides, dims, strict=True))
    most = config_of(out / "mien_student").max_batch_size
    assert f"--maxShapes=crops:{most}x112x112x3" in words


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no-such-bundle"], "no model 'no-such-bundle'"),
        (["runs/student.pt"], "pack runs/student.pt first"),
        (["CONV", "--precision", "int8"], "has no int8 model; it holds fp32; make one with fer-export"),
        (["CONV", "--int8", "--keep-ranges"], "leave out --int8, --keep-ranges"),
        (["FULL"], "is not a model bundle"),
    ],
)
def test_what_cannot_be_served_is_refused(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"CONV": str(write_conv_bundle(tmp_path / "conv")), "FULL": str(tmp_path)}
    monkeypatch.setattr(
        "sys.argv", ["fer-export", *(places.get(a, a) for a in arguments), "--triton", str(tmp_path / "m")]
    )
    assert _exit_code() == 2
    assert told in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"conv"}, "nothing half-written"


def _exit_code() -> object:
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_a_folder_with_anything_in_it_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_conv_bundle(tmp_path / "conv")
    before = {path: path.read_bytes() for path in bundle.iterdir()}
    monkeypatch.setattr("sys.argv", ["fer-export", "--triton", str(bundle)])
    assert _exit_code() == 2
    assert "exists and is not empty; choose another folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in bundle.iterdir()} == before


def test_options_of_the_repository_need_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["fer-export", "--precision", "int8"])
    assert _exit_code() == 2
    assert "belong to --triton DIR" in capsys.readouterr().err
