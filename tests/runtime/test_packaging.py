"""The sdist and the wheel built from it hold what a device needs, and nothing of training."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import onnxruntime
import pytest

from mien.packages import ONNXRUNTIME, OPENCV

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """``python -m build`` makes the sdist first and the wheel from that, as a package index's users do."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_wheel_holds_detector_with_its_licence(wheel: zipfile.ZipFile) -> None:
    assert b"MIT License" in wheel.read("mien/models/yunet/LICENSE")
    assert b"page.js" in wheel.read("mien/web/static/index.html")
    session = onnxruntime.InferenceSession(wheel.read("mien/models/yunet/yunet.onnx"))
    (image,) = session.get_inputs()
    assert image.type == "tensor(uint8)"
    assert image.shape == [1, "height", "width", 3]


def test_wheel_holds_the_default_model_and_is_typed(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {"mien/models/student/card.json", "mien/models/student/model.onnx", "mien/py.typed"} <= names
    assert wheel.getinfo("mien/models/student/model.onnx").file_size <= 16e6
    assert sum(wheel.getinfo(n).file_size for n in names if n.startswith("mien/models/")) <= 24e6
    packed = [name for name in names if name.endswith((".pt", ".parquet", ".npz"))]
    models = {name.split("/")[2] for name in names if name.startswith("mien/models/")} - {"yunet"}
    exemplars = [f"mien/models/{model}/exemplars.npz" for model in sorted(models)]
    layers = ["mien/models/compound/head.npz"]
    assert sorted(packed) == sorted(exemplars + layers), "numbers for enrollment, and nothing else of data sets"


def test_lean_install_names_no_framework_and_never_two_of_a_module(wheel: zipfile.ZipFile) -> None:
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    requires = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires")]
    base = [line for line in requires if "extra ==" not in line and not line.startswith("Requires")]
    assert sorted(line.split(">")[0] for line in base) == ["numpy", "tqdm"]
    extras: dict[str, set[str]] = {}
    for package, extra in re.findall(r"^([\w-]+).*; extra == '([\w-]+)'$", "\n".join(requires), re.MULTILINE):
        extras.setdefault(extra, set()).add(package)
    for extra, runtime, opencv in (
        ("cpu", "onnxruntime", "opencv-python-headless"),
        ("gpu", "onnxruntime-gpu", "opencv-python-headless"),
        ("openvino", "openvino", "opencv-python-headless"),
        ("tensorrt", "tensorrt", "opencv-python-headless"),
        ("gui", "onnxruntime", "opencv-python"),
    ):
        assert {runtime, opencv} <= extras[extra]
    for packages in extras.values():
        assert len(packages & set(ONNXRUNTIME)) <= 1
        assert len(packages & set(OPENCV)) <= 1
    assert not extras["jetson"] & {*OPENCV, *ONNXRUNTIME, "tensorrt", "numpy"}  # which are JetPack's
