"""fer-doctor where libraries are missing, broken or installed twice."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import pytest
from doctor_runs import Doctor, fresh, texts

import mien.packages
from mien.diagnostics.machine import libraries
from mien.engines import has_library

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("empty_cache")


def test_no_engine() -> None:
    done = fresh("import sys; sys.modules |= dict.fromkeys(('onnxruntime', 'openvino', 'tensorrt'))")
    assert (done.returncode, done.stderr) == (1, "")
    assert 'no inference engine is installed; run: pip install "mien[cpu]"' in done.stdout
    assert "numpy  " in done.stdout
    assert "not healthy, 1 error" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("failure", ["raise ImportError('libtbb.so is missing')", "raise RuntimeError('no AVX')", ""])
def test_a_broken_openvino_is_a_warning_until_it_is_asked_for(tmp_path: Path, bundle: Path, failure: str) -> None:
    (tmp_path / "broken" / "openvino").mkdir(parents=True)
    (tmp_path / "broken" / "openvino" / "__init__.py").write_text(failure)
    done = fresh("", "--model", str(bundle), libraries=tmp_path / "broken")
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning: openvino is installed, but does not work" in done.stdout
    assert 'pip install --force-reinstall "mien[openvino]"' in done.stdout
    assert "way           cpu fp32" in done.stdout
    assert done.stdout.splitlines()[-1] == "healthy, 1 warning"
    done = fresh("", "--model", str(bundle), "--device", "openvino", libraries=tmp_path / "broken")
    assert (done.returncode, done.stderr) == (1, "")
    assert "openvino fp32  fails: " in done.stdout


def test_what_remains_of_two_onnxruntimes(tmp_path: Path, bundle: Path) -> None:
    """Uninstalling one of them leaves an empty package, which imports and holds nothing."""
    (tmp_path / "broken" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "broken" / "onnxruntime" / "__init__.py").touch()
    done = fresh("", "--model", str(bundle), libraries=tmp_path / "broken")
    assert done.stderr == ""
    assert "onnxruntime is installed, but does not work (AttributeError" in done.stdout
    assert "run: pip uninstall -y onnxruntime" in done.stdout
    assert "auto" in done.stdout.splitlines() or not has_library("openvino")


@pytest.mark.parametrize(
    ("packages", "remedy"),
    [
        (("onnxruntime", "onnxruntime-gpu"), 'onnxruntime onnxruntime-gpu && pip install "mien[cpu]" (or "mien[gpu]")'),
        (
            ("opencv-python", "opencv-contrib-python-headless"),
            "opencv-python opencv-contrib-python-headless && pip install opencv-python-headless",
        ),
        (
            ("opencv-python", "opencv-python-headless"),
            "opencv-python opencv-python-headless && pip install opencv-python-headless (or opencv-python, for windows",
        ),
    ],
)
def test_two_packages_of_one_module_are_a_warning(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], remedy: str
) -> None:
    def only(name: str) -> str:
        if name not in packages:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(mien.packages, "version", only)
    code, report = doctor()
    assert code == 0
    (text,) = texts(report, False)
    assert "overwrite each other" in text
    assert f"run: pip uninstall -y {remedy}" in text
    monkeypatch.setattr(mien.packages, "version", lambda name: only(name) if name == packages[0] else only(""))
    assert texts(doctor()[1], False) == []


@pytest.mark.parametrize(("framework", "shown"), [("QT", "QT"), ("", None)])
def test_whether_opencv_has_windows(monkeypatch: pytest.MonkeyPatch, framework: str, shown: str | None) -> None:
    monkeypatch.setattr("cv2.currentUIFramework", lambda: framework)
    assert libraries()[0]["windows"] == shown


@pytest.mark.parametrize(
    ("packages", "used"),
    [(("cuda-bindings", "pycuda"), "cuda-bindings 1.0"), (("pycuda",), "pycuda 1.0"), ((), None)],
)
def test_what_gives_tensorrt_its_memory(
    monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], used: str | None
) -> None:
    def only(name: str) -> str:
        if name not in packages:
            raise PackageNotFoundError(name)
        return "1.0"

    tensorrt = ModuleType("tensorrt")
    tensorrt.__version__ = "10.3.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
    monkeypatch.setattr("mien.diagnostics.machine.has_library", lambda device: device == "tensorrt")
    monkeypatch.setattr(mien.packages, "version", only)
    facts, _ = libraries()
    assert (facts["tensorrt"], facts["cuda_memory"]) == ("10.3.0", used)
