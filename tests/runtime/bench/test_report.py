"""The report of fer-bench: tables, JSON and a picture, whole or not at all."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path

import cv2
import pytest
from bench_runs import QUICK, Bench

import mien.bench.report
import mien.bench.timing
from mien.bench import parse_args, run
from mien.bench.engines import REFERENCE, Row
from mien.bench.timing import doubts
from mien.engines import has_library

pytest.importorskip("onnxruntime")

TOP = ["mien", "date", "command", "seconds", "versions", "machine", "warnings", "model", "detector", "clip"]
TIMES = ["calls", "median_ms", "p95_ms", "per_second", "cores", "per_second_per_core"]


def test_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a clip, so that one is drawn: tables, JSON and picture of one run."""
    for module in (mien.bench.timing, mien.bench.report):
        monkeypatch.setattr(module, "BLOCKS", 2)
    plot = tmp_path / "bars.png"
    args = parse_args([*QUICK, "--json", str(tmp_path / "r.json"), "--plot", str(plot), "--batch", "1,2"])
    assert run(args) == 0
    report = json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    text = capsys.readouterr().out
    assert list(report) == TOP
    assert report["mien"] == version("mien")
    assert report["command"] == args.command
    assert report["date"].endswith("+00:00")
    assert set(report["versions"]) >= {"mien", "onnxruntime", "numpy", "opencv"}
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["machine"]["load"] >= 0

    rows = report["model"]["rows"]
    named = ["device", "precision", "threads", "batch"]
    assert all(list(row) == [*named, *TIMES, "ms_per_crop", "speed"] for row in rows)
    assert [rows[0][key] for key in named] == list(REFERENCE)
    assert rows[0]["speed"] == 1
    ways = {(row["device"], row["precision"]) for row in rows}
    assert ways >= {("cpu", "fp32"), ("cpu", "int8")}
    # On a processor where OpenVINO is wrong in int8 it is refused.
    assert ("openvino", "int8") not in ways or has_library("openvino")
    assert (("openvino", "fp32") in ways) is has_library("openvino")
    for row in rows:
        assert row["ms_per_crop"] == pytest.approx(row["median_ms"] / row["batch"], abs=1e-3)
        assert row["speed"] == pytest.approx(rows[0]["ms_per_crop"] / row["ms_per_crop"], rel=0.01)
        assert f"  {row['device']:<8}  {row['precision']:<9}" in text
    searches = {row["search"]: row["searched"] for row in report["detector"]["rows"]}
    assert all(list(row) == ["search", "searched", *TIMES] for row in report["detector"]["rows"])
    for name, size in (("1920x1080", "640x384"), ("640x360", "640x384"), ("1920x1080, faces from 24 px", "1280x736")):
        whole, *looks = searches[f"frame {name}"]
        assert whole == size
        assert set(looks) <= {"160x160"}  # at a face of which the detector is not sure which way up it is
    assert searches["four expected faces"] == ["160x160"] * 4
    assert searches["engine alone 96x96"] == ["96x96"]
    assert "4 x 160x160" in text

    made = report["clip"]
    assert list(made) == ["path", "drawn", "size", "fps", "ways", "stream_over_predict"]
    assert (made["path"], made["drawn"], made["size"], made["fps"]) == (None, True, [640, 360], 25)
    assert list(made["ways"]) == ["stream", "predict"]
    stream, predict = made["ways"].values()
    assert list(stream["stages_ms"]) == ["decode", "find", "crop", "read", "smooth", "write", "rest"]
    assert list(predict["stages_ms"]) == ["decode", "predict", "write", "rest"]
    assert made["stream_over_predict"] == pytest.approx(stream["per_second"] / predict["per_second"], rel=0.01)
    for way in (stream, predict):
        assert way["faces_per_frame"] == 1
        assert way["times_real_time"] == pytest.approx(way["per_second"] / 25, rel=0.01)
        assert 20 < way["peak_memory_mb"] < 2000
        assert min(way["stages_ms"].values()) >= 0
        assert sum(way["stages_ms"].values()) == pytest.approx(way["mean_ms"], abs=0.001)
        assert way["mean_ms"] == pytest.approx(1000 / way["per_second"], rel=0.01)
    assert report["warnings"] == doubts(
        os.cpu_count() or 1, report["machine"]["usable_cores"], report["machine"]["load"]
    )

    for numbers in (*rows, *report["detector"]["rows"], stream, predict):
        assert numbers["calls"] > 0
        assert 0 < numbers["median_ms"] <= numbers["p95_ms"]
        assert numbers["per_second"] > 0
        # The processor cannot have worked more than all cores; the clocks are read one after the other.
        assert 0 < numbers["cores"] < (os.cpu_count() or 1) * 1.2
        assert numbers["per_second_per_core"] == pytest.approx(numbers["per_second"] / numbers["cores"], rel=0.05)
    picture = cv2.imread(str(plot))
    assert picture is not None
    assert picture.shape[0] > 27 * (len(rows) + len(searches) + 2)
    assert "written: " in text


def test_json_alone_on_stdout(bench: Bench, capsys: pytest.CaptureFixture[str], model_only: None) -> None:
    assert bench("--json", "-")[0] == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["model"]["rows"]
    assert "crops/s/core" in err
    assert bench("--json", "-", "--quiet")[0] == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["model"]["rows"]
    assert all("warning" in line for line in err.splitlines())
    assert bench("--quiet")[0] == 0
    assert capsys.readouterr().out == ""


def test_a_disk_that_is_full_at_the_end_leaves_the_old_report(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = Path.open

    def full(path: Path, mode: str = "r", **more: object) -> object:
        if "w" in mode:
            raise OSError(28, "No space left on device")
        return real(path, mode, **more)  # type: ignore[call-overload]

    path = tmp_path / "report.json"
    path.write_text("{}")
    monkeypatch.setattr(Path, "open", full)
    assert bench() == (1, {})
    assert sorted(tmp_path.glob("*report*")) == [path]


def test_rows_are_named_in_full() -> None:
    assert str(REFERENCE) == "cpu fp32, 1 thread, batch 1"
    assert str(Row("cuda", "int8", None, 8)) == "cuda int8, batch 8"
