"""A bundle -> a model repository for NVIDIA Triton Inference Server."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from mien.bundle import Bundle, find_bundle
from mien.bundle.card import CARD
from mien.engines.golden import GOLDEN
from mien.errors import ModelNotFound
from mien_export.aside import aside
from mien_export.triton import Backend, Precision
from mien_export.triton.config import DETECTOR, FRAMES, STUDENT, detector, frames, student
from mien_export.triton.plans import SCRIPT, plan_script
from mien_export.triton.tensors import tensors_of

LABELS = "labels.txt"


def write_repository(
    source: str | Path, out: Path, *, backend: Backend = "onnxruntime", precision: Precision = "fp32"
) -> Bundle:
    """Write the model repository ``out`` from a bundle's folder or a packaged name, and return the bundle.

    It holds ``mien_detector`` (YuNet), ``mien_student`` (crops -> expression, affect, embedding) and ``mien`` (frame ->
    faces, Triton's Python backend, which calls the other two). It is made in another folder and then moved, so a
    failure leaves nothing half-written. With the backend ``tensorrt`` it also holds a script that builds the plans on
    the machine that serves them.

    Raises:
        ModelNotFound: There is no such bundle, or mien's face detector is missing.
        ModelInvalid: The bundle is incomplete or altered, or its graph is not one that can be served.
        EngineUnavailable: The bundle lacks the precision.
        OutputError: ``out`` exists and is not empty, or cannot be written.
    """
    bundle = find_bundle(source)
    model = bundle.model_file(precision)
    yunet = Path(str(files("mien") / "models" / "yunet" / "yunet.onnx"))
    if not yunet.is_file():
        raise ModelNotFound(f"the face detector {yunet} is missing; install mien with pip, which builds it")
    search, read = tensors_of(yunet), tensors_of(model)
    with aside(out, replaces_bundle=False) as folder:
        _add(folder / DETECTOR, detector(search, backend), "model.onnx", yunet)
        _add(folder / STUDENT, student(read, bundle.card, backend, LABELS), "model.onnx", model)
        (folder / STUDENT / LABELS).write_text("\n".join(bundle.card.labels) + "\n", encoding="utf-8")
        _add(folder / FRAMES, frames(bundle.card), "model.py", Path(__file__).with_name("frame_model.py"))
        shutil.copyfile(bundle.folder / CARD, folder / FRAMES / "1" / CARD)
        if GOLDEN in bundle.card.files:
            shutil.copyfile(bundle.verified(GOLDEN), folder / FRAMES / "1" / GOLDEN)
        if backend == "tensorrt":
            (folder / SCRIPT).write_text(plan_script(search.inputs[0], read.inputs[0]), encoding="utf-8")
            (folder / SCRIPT).chmod(0o755)
    return bundle


def _add(folder: Path, config: str, name: str, file: Path) -> None:
    """A model of the repository: its config, and the file of version 1."""
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    shutil.copyfile(file, folder / "1" / name)
