"""Libraries of which a part is left, as after uninstalling one of two packages that are one module: told in words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.engines import has_library
from mien.errors import LibraryBroken
from mien.packages import check_opencv

LEFT = {
    "nothing but the folder": "",
    "no native part": "from {0}.gone import everything",
    "a system's library is missing": "raise ImportError('libGL.so.1: cannot open shared object file')",
    "two versions mixed": "raise AttributeError('partially initialized module')",
}
PROGRAMS = {
    "fer-run": "from mien.cli import main; main()",
    "fer-enroll": "from mien.cli.programs import fer_enroll; fer_enroll()",
    "fer-bench": "from mien.cli.programs import fer_bench; fer_bench()",
    "fer-doctor": "from mien.cli.programs import fer_doctor; fer_doctor()",
}
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def start(tmp_path: Path) -> Program:
    """``start(library, what is left of it, code, *args)`` in a process of its own."""

    def run(library: str, left: str, code: str, *args: object) -> subprocess.CompletedProcess[str]:
        (tmp_path / "left" / library).mkdir(parents=True)
        (tmp_path / "left" / library / "__init__.py").write_text(LEFT[left].format(library))
        path = os.pathsep.join(filter(None, (str(tmp_path / "left"), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-c", code, *map(str, args)]
        environment = {**os.environ, "PYTHONPATH": path, "MIEN_CACHE": str(tmp_path / "cache")}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)

    return run


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_without_a_whole_opencv(start: Program, tiny_bundle: Path, left: str, program: str) -> None:
    done = start("cv2", left, PROGRAMS[program], "--model", tiny_bundle)
    assert done.returncode == 1
    text = done.stdout if program == "fer-doctor" else done.stderr
    assert "error: cv2 is installed, but does not work (" in text
    assert "pip install opencv-python-headless" in text
    assert "Traceback" not in done.stderr
    if program == "fer-doctor":
        assert "does not work" in text.split("libraries")[1]
        assert "usable cores" in text
        assert text.endswith("not healthy, 1 error\n")


@pytest.mark.parametrize("left", LEFT)
def test_mien_is_imported_and_says_what_is_wrong_when_it_is_used(start: Program, left: str) -> None:
    code = "import mien; print(mien.__version__)\ntry: mien.Recognizer\nexcept ImportError as error: print(repr(error))"
    done = start("cv2", left, code)
    assert done.stderr == ""
    assert "LibraryBroken(" in done.stdout
    assert "cv2 is installed, but does not work" in done.stdout


def test_an_opencv_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(LibraryBroken, match="not installed; run: pip install opencv-python-headless"):
        check_opencv()


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("program", ["fer-run", "fer-doctor"])
def test_without_a_whole_onnxruntime(
    start: Program, tiny_bundle: Path, tmp_path: Path, make_clip: Callable[..., Path], left: str, program: str
) -> None:
    clip = [make_clip(tmp_path / "clip.mp4", frames=3)] if program == "fer-run" else []
    done = start("onnxruntime", left, PROGRAMS[program], *clip, "--model", tiny_bundle, "--device", "cpu")
    assert done.returncode == (2 if program == "fer-run" else 1)
    text = done.stdout if program == "fer-doctor" else done.stderr
    assert "onnxruntime is installed, but does not work (" in text
    assert 'pip install "mien[cpu]"' in text
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not has_library("openvino"), reason="no OpenVINO to go over to")
@pytest.mark.parametrize("left", LEFT)
def test_auto_takes_the_engine_that_is_whole(
    start: Program, tiny_bundle: Path, tmp_path: Path, make_clip: Callable[..., Path], left: str
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=3)
    done = start("onnxruntime", left, PROGRAMS["fer-run"], clip, "--model", tiny_bundle)
    assert done.stderr == ""
    assert "3 frames, 3 faces" in done.stdout
    assert "on openvino/cpu" in done.stdout


@pytest.mark.parametrize("program", ["fer_doctor", "fer_enroll", "fer_bench"])
def test_a_numpy_that_is_half_there_is_named(tmp_path: Path, program: str) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("raise ImportError('half there')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from mien.cli.programs import {program}; {program}()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "numpy does not work (ImportError: half there); run: pip install --force-reinstall numpy" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
