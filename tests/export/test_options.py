"""fer-export: options that would do nothing are refused before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_conv import write_conv_bundle

import mien_export.cli
from mien.errors import InputError
from mien_export.cli import parse_args, run
from mien_export.pack import Wanted


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--device", "dla:0"], "add --tensorrt"),
        (["--device", "tensorrt", "--half"], "add --tensorrt"),
        (["--faces", "-1"], "--faces -1: give a number of faces, or 0 for all"),
        (["--faces", "-1", "--data", "X", "--int8"], "--faces -1: give a number"),
        (["--opset", "17"], "--opset: a bundle keeps the opset that it has"),
    ],
)
def test_what_would_be_ignored_is_refused(options: list[str], told: str, tmp_path: Path) -> None:
    bundle = write_conv_bundle(tmp_path / "conv")
    with pytest.raises(InputError, match=told):
        run(parse_args([str(bundle), "-o", str(tmp_path / "out"), *options]))
    assert list(tmp_path.iterdir()) == [bundle]


@pytest.mark.parametrize(
    ("options", "device"),
    [([], ""), (["--tensorrt"], "tensorrt"), (["--tensorrt", "--device", "dla:1"], "dla:1")],
)
def test_tensorrt_builds_for_the_gpu_unless_told(
    options: list[str], device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def stand_in(source: str, out: Path, wanted: Wanted) -> tuple[list[object], None]:
        asked.append(wanted.tensorrt)
        out.mkdir()
        return [], None

    monkeypatch.setattr(mien_export.cli, "pack", stand_in)
    assert run(parse_args(["-o", str(tmp_path / "out"), *options])) == 0
    assert asked == [device]
