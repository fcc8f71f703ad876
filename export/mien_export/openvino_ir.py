"""OpenVINO's own format (IR): it loads faster than ONNX, without conversion on the device."""

from __future__ import annotations

from pathlib import Path

import openvino as ov

from mien.errors import ModelInvalid


def write_ir(source: Path, out: Path) -> list[Path]:
    """Write the ONNX file ``source`` as ``out`` (.xml) and a .bin beside it, with unchanged weights. Newer versions
    of OpenVINO can read it. Raises ModelInvalid."""
    try:
        model = ov.convert_model(source)
        ov.save_model(model, out, compress_to_fp16=False)
    except RuntimeError as error:
        raise ModelInvalid(f"openvino {ov.__version__} cannot convert {source}: {error}") from error
    return [out, out.with_suffix(".bin")]
