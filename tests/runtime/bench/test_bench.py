"""fer-bench measures what it says, in turn, and tells it whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_card import change

import mien.bench.engines
import mien.bench.report
import mien.bench.timing
import mien.diagnostics.machine
import mien.engines.cores
from mien.bench import parse_args, run
from mien.bench.clip import Child, clip_turns
from mien.bench.engines import REFERENCE, Row
from mien.bench.scene import FRAMES, scene
from mien.bench.timing import Samples, doubts, failures, figures, memory, turns
from mien.bundle import FILES
from mien.engines import has_library
from mien.errors import MienError, ModelNotFound
from mien.vision.detector import load_detector

pytest.importorskip("onnxruntime")

Bench = Callable[..., tuple[int, Any]]
TOP = ["mien", "date", "command", "seconds", "versions", "machine", "warnings", "model", "detector", "clip"]
TIMES = ["calls", "median_ms", "p95_ms", "per_second", "cores", "per_second_per_core"]
QUICK = ["--seconds", "0.02", "--threads", "1"]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "talk.mp4")


@pytest.fixture
def few_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mien.bench.timing, "BLOCKS", 1)
    monkeypatch.setattr(mien.bench.timing, "WARM_UP", 1)
    monkeypatch.setattr(mien.bench.report, "_detector", lambda *_: None)


@pytest.fixture
def model_only(monkeypatch: pytest.MonkeyPatch, few_turns: None) -> None:
    monkeypatch.setattr(mien.bench.report, "_clip", lambda *_: None)


@pytest.fixture
def bench(tiny_bundle: Path, tmp_path: Path, clip: Path) -> Bench:
    """``bench("--batch", "1")`` -> exit code, and the report or None."""

    def call(*args: str) -> tuple[int, Any]:
        path = tmp_path / "report.json"
        code = run(parse_args([*QUICK, "--model", str(tiny_bundle), "--clip", str(clip), "--json", str(path), *args]))
        return code, json.loads(path.read_text(), parse_constant=pytest.fail) if path.exists() else None

    return call


def started(*args: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from mien.cli.programs import fer_bench; fer_bench()", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def reasons(report: Any) -> dict[str, str]:
    return {name: reason for reason, names in report["model"]["skipped"].items() for name in names}


@pytest.mark.parametrize(
    "args",
    [
        ["--threads", "0"],
        ["--threads", "1,,2"],
        ["--threads", ""],
        ["--threads", "²"],
        ["--batch", "two"],
        ["--batch", "1000000"],
        ["--batch", "-1"],
        ["--seconds", "0"],
        ["--seconds", "nan"],
        ["--seconds", "inf"],
        ["--device", "abacus"],
        ["--precision", "int3"],
        ["--plot", "bars.jpg"],
        ["--plot", "a.png", "--json", "a.png"],
        ["--json", ""],
        ["--clip", ""],
        ["talk.mp4"],
    ],
)
def test_bad_usage_is_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(args)
    assert caught.value.code == 2
    assert "fer-bench: error:" in capsys.readouterr().err


def test_the_command_is_kept() -> None:
    args = parse_args(["--threads", "2,1,2", "--clip", "a b.mp4"])
    assert args.threads == [2, 1]
    assert args.command == "fer-bench --threads 2,1,2 --clip 'a b.mp4'"


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


def test_the_clip_of_the_user(bench: Bench, clip: Path, few_turns: None) -> None:
    code, report = bench("--device", "cpu")
    assert code == 0
    assert (report["clip"]["path"], report["clip"]["drawn"]) == (str(clip), False)
    assert (report["clip"]["size"], report["clip"]["fps"]) == ([320, 180], 25)
    # 12 frames: it starts again from its beginning.
    assert report["clip"]["ways"]["stream"]["calls"] > 12


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


def test_what_is_not_there_is_named(bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mien.bench.engines, "has_library", lambda device: device in ("cpu", "cuda"))
    code, report = bench()
    assert code == 0
    assert {row["device"] for row in report["model"]["rows"]} <= {"cpu", "cuda"}
    found = reasons(report)
    assert 'pip install "mien[openvino]"' in found["openvino"]
    assert 'pip install "mien[tensorrt]"' in found["tensorrt"]
    assert found["int8"] == found["fp16"] == "not in the bundle: fer-export makes it"
    assert "CUDAExecutionProvider" in found.get("cuda fp32", "CUDAExecutionProvider")
    monkeypatch.setattr(mien.bench.engines, "has_library", lambda _: True)
    assert "minutes" in reasons(bench()[1])["tensorrt"]


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--device", "dla:1"], "TensorRT|tensorrt"), (["--precision", "int8", "--device", "cpu"], "has no int8 model")],
)
def test_what_is_asked_for_and_cannot_be_had_is_2(
    bench: Bench, model_only: None, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    if has_library("tensorrt") and "dla:1" in args:
        pytest.skip("TensorRT is there")
    code, report = bench(*args)
    assert (code, report) == (2, None)
    error = next(line for line in capsys.readouterr().err.splitlines() if "error" in line)
    assert any(part in error for part in message.split("|"))
    assert "fer-export makes it" not in error


def test_the_reference_is_measured_in_any_case(bench: Bench, bundle_copy: Path, model_only: None) -> None:
    change(bundle_copy, {FILES["int8"]: (bundle_copy / FILES["fp32"]).read_bytes()})
    args = ("--model", str(bundle_copy), "--precision", "int8", "--device", "cpu", "--batch", "4", "--threads", "2")
    _, report = bench(*args)
    rows = report["model"]["rows"]
    assert [(row["precision"], row["threads"], row["batch"]) for row in rows] == [("fp32", 1, 1), ("int8", 2, 4)]
    assert rows[0]["speed"] == 1
    assert rows[1]["speed"] > 0


@pytest.mark.skipif(not has_library("openvino"), reason="needs a second engine")
def test_without_onnxruntime_there_is_no_ratio(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = mien.bench.engines.open_backend

    def open_backend(bundle: Any, way: Any, threads: int | None) -> Any:
        if way[0] != "openvino":
            raise ImportError("onnxruntime is not there")
        return original(bundle, way, threads)

    monkeypatch.setattr(mien.bench.engines, "open_backend", open_backend)
    code, report = bench()
    assert code == 0
    assert {row["speed"] for row in report["model"]["rows"]} == {None}
    assert reasons(report)["the reference of the column speed"] == "ImportError: onnxruntime is not there"


class Broken:
    """An engine that gives up after some calls."""

    name = "broken"

    def __init__(self, calls: int):
        self.left = calls

    def run(self, _: Any) -> dict[str, Any]:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("out of memory")
        return {}


def test_an_engine_that_gives_up_costs_no_other_its_row(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = mien.bench.engines.open_backend

    def open_backend(bundle: Any, way: Any, threads: int | None) -> Any:
        return original(bundle, way, threads) if threads == 1 else Broken(2)

    monkeypatch.setattr(mien.bench.engines, "open_backend", open_backend)
    code, report = bench("--device", "cpu", "--threads", "1,2", "--batch", "1")
    assert code == 0
    assert [row["threads"] for row in report["model"]["rows"]] == [1]
    assert reasons(report)["cpu fp32, 2 threads, batch 1"] == "RuntimeError: out of memory"


def test_nothing_that_runs_is_1(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mien.bench.engines, "open_backend", lambda *_: Broken(2))
    assert bench() == (1, None)
    assert "RuntimeError: out of memory" in capsys.readouterr().err


def test_a_bad_clip_is_2_before_anything_is_measured(
    bench: Bench, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "half.mp4").write_bytes(clip.read_bytes()[:600])
    (tmp_path / "notes.txt").write_text("no video")
    cv2.imwrite(str(tmp_path / "still.png"), np.zeros((8, 8, 3), np.uint8))
    for name in ("empty.mp4", "half.mp4", "notes.txt", "still.png", ".", "none.mp4"):
        assert bench("--clip", str(tmp_path / name)) == (2, None), name
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("fer-bench: error: "), name
        assert len(err.splitlines()) == 1, name
    for name in ("0", "rtsp://127.0.0.1:1/live"):
        assert bench("--clip", name) == (2, None)
        assert f"there is no file {name}" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_2_before_anything_is_measured(
    bench: Bench, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = clip.read_bytes()
    for args in (
        ["--json", str(tmp_path)],
        ["--json", str(tmp_path / "none" / "r.json")],
        ["--plot", str(tmp_path / "none" / "r.png")],
        ["--json", str(clip)],
    ):
        assert bench(*args)[0] == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("fer-bench: error: "), args
    assert clip.read_bytes() == before


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


def test_a_model_that_does_not_exist_is_2(bench: Bench, tmp_path: Path) -> None:
    assert bench("--model", str(tmp_path / "none")) == (2, None)


def test_a_clip_without_a_face_is_said(
    bench: Bench, tmp_path: Path, few_turns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gray.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    code, report = bench("--clip", str(path), "--device", "cpu")
    assert code == 0
    assert report["clip"]["ways"]["stream"]["faces_per_frame"] == 0
    assert any("no face was found" in text for text in report["warnings"])
    assert "warning: no face was found" in capsys.readouterr().err


def test_a_clip_that_was_cut_off_is_said_once(
    bench: Bench,
    tmp_path: Path,
    few_turns: None,
    make_clip: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = make_clip(tmp_path / "cut.avi", frames=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, report = bench("--clip", str(path), "--device", "cpu")
    assert code == 0
    assert sum("cut.avi" in text for text in report["warnings"]) == 1
    assert capsys.readouterr().err.count("cut.avi") == 1


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_tells_what_it_has_and_writes_nothing(
    tiny_bundle: Path, clip: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "r.json"
    (tmp_path / "tmp").mkdir()
    env = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    args = [
        "--threads",
        "1",
        "--device",
        "cpu",
        "--model",
        str(tiny_bundle),
        "--clip",
        str(clip),
        "--json",
        str(out),
        "--seconds",
        "0.1",
    ]
    process = started(*args, env=env)
    while not any(path.stat().st_size for path in (tmp_path / "tmp").glob("*/stream.jsonl")):  # the clip's turn
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    text, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert "whole pipeline" in text
    assert not out.exists()
    assert list((tmp_path / "tmp").glob("tmp*")) == []


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_stopped_within_a_part_it_tells_its_rows(
    bench: Bench, model_only: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, done = mien.bench.timing._turn, []

    def turn(work: Callable[[], object], samples: Samples, seconds: float) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(samples)
        original(work, samples, seconds)

    monkeypatch.setattr(mien.bench.timing, "_turn", turn)
    with pytest.raises(KeyboardInterrupt):
        bench("--device", "cpu")
    assert capsys.readouterr().out.count("\n  cpu ") == 1


def test_work_is_done_in_turns() -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("c")
        if done.count("c") == 5:
            raise RuntimeError("no more")

    works = {"a": lambda: done.append("a"), "b": lambda: done.append("b"), "c": fail}
    samples = {name: Samples() for name in works}
    steps = list(turns(works, samples, 0.001))
    assert len(steps) == len(works) * mien.bench.timing.BLOCKS
    changes = [name for i, name in enumerate(done) if i == 0 or done[i - 1] != name]
    assert changes == list("abc" + "ab" * (mien.bench.timing.BLOCKS - 1))
    assert len(samples["a"].seconds) == done.count("a") - mien.bench.timing.BLOCKS * mien.bench.timing.WARM_UP
    assert failures(samples) == {"RuntimeError: no more": ["c"]}
    assert len(samples["c"].seconds) == 1


def test_slow_work_does_not_overrun_its_time() -> None:
    samples = {"slow": Samples()}
    start = time.perf_counter()
    for _ in turns({"slow": lambda: time.sleep(0.05)}, samples, 0.05):
        pass
    assert time.perf_counter() - start < 1.5  # a warm-up and a counted call in each of five turns
    assert len(samples["slow"].seconds) == mien.bench.timing.BLOCKS


PROCESSOR_TIME = """
import json, threading, time
import numpy as np
from mien.bench.timing import Samples, figures, turns

def spin():  # numpy lets go of the interpreter while it multiplies, so that two threads keep two cores busy
    square, end = np.ones((160, 160)), time.thread_time() + 0.02
    while time.thread_time() < end:
        square @ square

def both():
    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

works = {"sleep": lambda: time.sleep(0.02), "one": spin, "two": both}
samples = {name: Samples() for name in works}
for _ in turns(works, samples, 0.1):
    pass
print(json.dumps({name: figures(taken.seconds, taken.cpu) for name, taken in samples.items()}))
"""


def test_processor_time_is_what_was_really_used() -> None:
    """In a process of its own, with no threads of numpy's that spin while it sleeps."""
    command = [sys.executable, "-c", PROCESSOR_TIME]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    made = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=alone).stdout)
    assert made["sleep"]["cores"] < 0.2
    assert 0.2 < made["one"]["cores"] < 1.1
    # However busy the machine is, a core gives half as many of what takes twice the work.
    assert made["one"]["per_second_per_core"] == pytest.approx(2 * made["two"]["per_second_per_core"], rel=0.35)


def test_figures() -> None:
    made = figures([0.010] * 18 + [0.020, 0.100], cpu=0.6, each=4)
    assert made == {
        "calls": 20,
        "median_ms": 10,
        "p95_ms": 24,
        "per_second": pytest.approx(80 / 0.3, abs=1e-3),
        "cores": 2,
        "per_second_per_core": pytest.approx(80 / 0.6, abs=1e-3),
    }
    assert figures([0.01], cpu=0.0)["per_second_per_core"] is None


def test_memory_is_the_processes_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child's ru_maxrss would start at what its parent holds."""
    before, _ = memory()
    ballast = np.ones(400_000_000 // 8)
    held, peak = memory()
    if before is None or held is None:
        pytest.skip("the system does not tell")
    assert peak is not None
    assert held > before + 350
    code = "from mien.bench.timing import memory; print(memory()[1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 10 < float(done.stdout) < 300
    del ballast
    assert memory()[0] < held - 350  # type: ignore[operator]
    assert memory()[1] > 0.99 * peak  # type: ignore[operator]
    monkeypatch.setattr(mien.bench.timing, "STATUS", tmp_path / "none")
    now, most = memory()
    assert now is None
    assert most == pytest.approx(peak, rel=0.1)


def test_doubts() -> None:
    assert doubts(4, 4.0, 1.9) == doubts(4, 4.0, None) == []
    (busy,) = doubts(4, 4.0, 2.1)
    assert "load 2.1 on 4 cores" in busy
    (few,) = doubts(4, 1.5, 0.0)
    assert "only 1.5 of 4 cores" in few


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"proc/self/cgroup": "0::/a.slice/b.service\n", "sys/fs/cgroup/a.slice/cpu.max": "25000 100000"}, 0.25),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "70000 100000"}, 0.7),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "40000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 0.4),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        ({"sys/fs/cgroup/cpu.max": "nonsense"}, None),
    ],
)
def test_usable_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: float | None
) -> None:
    free = mien.engines.cores.usable_cores()
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(mien.engines.cores, "ROOT", tmp_path)
    assert mien.engines.cores.usable_cores() == (cores if cores is not None else max(free, 1.0))


def test_the_drawn_scene_has_a_face_where_it_says() -> None:
    detector = load_detector()
    for i in range(0, FRAMES, 10):
        picture, box = scene((640, 360), i / FRAMES)
        (found,) = detector.detect(picture)
        x1, y1 = np.maximum(found.box[:2], box[:2])
        x2, y2 = np.minimum(found.box[2:], box[2:])
        shared = max(0.0, x2 - x1) * max(0.0, y2 - y1)
        areas = [float((place[2:] - place[:2]).prod()) for place in (found.box, box)]
        assert shared / (sum(areas) - shared) > 0.6
        assert detector.detect_near(picture, [box])


def job(tiny_bundle: Path, clip: Path, tmp_path: Path, **changes: object) -> dict[str, object]:
    made = {"clip": str(clip), "model": str(tiny_bundle), "device": "cpu", "precision": "fp32", "threads": 1}
    return made | {"mode": "stream", "output": str(tmp_path / "faces.jsonl")} | changes


def test_a_child_hands_up_what_goes_wrong(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model"):
        Child(job(tiny_bundle, clip, tmp_path, model="none"))
    with pytest.raises(MienError, match="KeyError"):
        Child({})


def test_a_child_that_dies_is_an_error_and_not_a_hang(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    child = Child(job(tiny_bundle, clip, tmp_path))
    assert child.engine == "onnxruntime/cpu fp32"
    child._process.kill()
    with pytest.raises(MienError, match=r"ended with code -?9"):
        child.ask(0.1)
    child.close()
    child.close()


def test_a_child_writes_the_faces_and_is_gone_with_its_parent(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    child = Child(job(tiny_bundle, clip, tmp_path))
    answer = child.ask(0.1)
    lines = (tmp_path / "faces.jsonl").read_text().splitlines()
    assert len(lines) >= answer["faces"] == len(answer["seconds"])
    assert json.loads(lines[0])["track"] == 1
    assert child._process.stdin is not None
    child._process.stdin.close()
    assert child._process.wait(20) == 0
    child.close()


def test_the_ways_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Double:
        engine = "double"

        def __init__(self, job: dict[str, object]):
            self.mode = str(job["mode"])

        def ask(self, seconds: float) -> dict[str, object]:
            asked.append(f"{self.mode} {seconds}")
            return {}

        def close(self) -> None:
            asked.append(f"close {self.mode}")

    monkeypatch.setattr("mien.bench.clip.Child", Double)
    answers: dict[str, list[Any]] = {"stream": [], "predict": []}
    steps = clip_turns({}, answers, 2.0)
    next(steps)
    next(steps)
    steps.close()
    assert asked == ["stream 0.5", "predict 0.5", "close predict", "close stream"]
    assert [len(turns) for turns in answers.values()] == [1, 1]


def test_rows_are_named_in_full() -> None:
    assert str(REFERENCE) == "cpu fp32, 1 thread, batch 1"
    assert str(Row("cuda", "int8", None, 8)) == "cuda int8, batch 8"
