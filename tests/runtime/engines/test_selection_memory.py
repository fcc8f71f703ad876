"""What ``auto`` remembers of its measurements, where, and when it measures anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up_engines import Lab, picked
from tiny_card import change

import mien.engines.selection
from mien.bundle import FILES, Bundle, find_bundle
from mien.engines.selection import select_backend
from mien.errors import EngineUnavailable
from mien.files import cache_folder


def kept() -> list[Path]:
    return sorted((cache_folder() / "choices").iterdir())


def test_it_is_remembered(lab: Lab, bundle: Bundle) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.005, ("cpu", "int8"): EngineUnavailable("old")}
    first = select_backend(bundle)
    assert first.device == "openvino"
    assert first.refused["cpu int8"] == "old"
    lab.opened.clear()
    lab.speeds["cpu", "fp32"] = 0.001
    assert select_backend(bundle) == first
    assert lab.opened == []
    assert picked(bundle, fresh=True) == ("cpu", "fp32")
    assert picked(bundle) == ("cpu", "fp32")


def test_another_bundle_library_thread_count_or_gpu_is_measured_anew(
    lab: Lab, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.005}

    def measured(bundle: Bundle = bundle, threads: int | None = None) -> bool:
        lab.opened.clear()
        select_backend(bundle, threads=threads)
        return bool(lab.opened)

    assert measured()
    assert not measured()
    assert measured(threads=1)
    assert measured(threads=2)
    assert not measured(threads=1)
    original = mien.engines.selection.version
    with monkeypatch.context() as patch:
        patch.setattr(
            mien.engines.selection, "version", lambda name: "99.0" if name == "onnxruntime" else original(name)
        )
        assert measured()
    with monkeypatch.context() as patch:
        patch.setattr(mien.engines.selection, "processor", lambda: "another")
        assert measured()
    with monkeypatch.context() as patch:
        patch.setattr(mien.engines.selection, "GPUS", (str(tmp_path),))
        assert measured()
    with monkeypatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        assert measured()
    assert not measured()
    assert measured(find_bundle(change(bundle.folder, {FILES["int8"]: b"other weights"})))


def test_another_number_of_usable_cores_is_measured_anew(
    lab: Lab, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.005}
    opened = []
    for cores in (1.0, 2.0, 1.0, 0.5, 2.0):
        monkeypatch.setattr(mien.engines.selection, "usable_cores", lambda cores=cores: cores)
        before = len(lab.opened)
        select_backend(bundle)
        opened.append(len(lab.opened) > before)
    assert opened == [True, True, False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        "{}",
        '{"device": "cpu"}',
        '{"device": "abacus", "precision": "fp32", "why": "", "times": {}, "refused": {}}',
        '{"device": "cpu", "precision": "fp16", "why": "", "times": {}, "refused": {}}',
        '{"device": ["cpu"], "precision": {}, "why": "", "times": {}, "refused": {}}',
        '{"device": "cpu", "precision": "fp32", "why": "", "times": 3, "refused": {}}',
        '{"device": "cpu", "precision": "fp32", "why": "", "times": {}, "refused": null}',
        '{"device": "cpu", "precision": "fp32", "why": "", "times": {}, "refused": {}, "more": 1}',
    ],
)
def test_a_corrupt_memory_does_no_harm(lab: Lab, bundle: Bundle, text: str) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.005}
    first = select_backend(bundle)
    (file,) = kept()
    file.write_text(text)
    assert select_backend(bundle) == first
    assert json.loads(file.read_text())["device"] == "openvino"
    file.write_bytes(b"\xff\xfe\x00")
    assert select_backend(bundle) == first
    assert kept() == [file]


def test_a_cache_that_cannot_be_written_does_no_harm(
    lab: Lab, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file"))
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.005}
    assert picked(bundle) == picked(bundle) == ("openvino", "fp32")
    assert (tmp_path / "file").read_text() == "not a folder"


def test_where_it_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("MIEN_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "mien"

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder().name == "mien"
