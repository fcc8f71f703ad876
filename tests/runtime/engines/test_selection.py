"""What ``auto`` picks: engines with made-up speeds, on a clock that only they move."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny_card import change

import mien.engines.selection
from mien.bundle import FILES, IR_FILES, Bundle, find_bundle
from mien.engines.selection import Backend, select_backend
from mien.errors import EngineUnavailable, InputError, ModelInvalid
from mien.files import cache_folder
from mien.recognizer import Recognizer
from mien.types import Floats, Image

PASSED = {"int8": {"passed": True}, "fp16": {"passed": True}}


@dataclass
class Lab:
    """Seconds a call, or what goes wrong, by device and precision; what was opened and how often each ran."""

    speeds: dict[Backend, float | Exception] = field(default_factory=dict)
    breaks: dict[Backend, Exception] = field(default_factory=dict)
    opened: list[Backend] = field(default_factory=list)
    runs: list[Backend] = field(default_factory=list)
    now: float = 0.0

    def load(self, path: Path, *, device: str, threads: int | None, precision: str) -> Runner:
        way = device, precision
        assert path.name in (FILES[precision], IR_FILES.get(precision))
        assert precision == way[1]
        self.opened.append(way)
        speed = self.speeds.get(way, EngineUnavailable(f"{device} is not there"))
        if isinstance(speed, Exception):
            raise speed
        return Runner(self, way, speed)

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Runner:
    lab: Lab
    way: Backend
    seconds: float
    name: str = "runner"

    def run(self, batch: Image) -> dict[str, Floats]:
        assert batch.shape == (1, 112, 112, 3)
        assert batch.dtype == np.uint8
        if self.way in self.lab.breaks:
            raise self.lab.breaks[self.way]
        self.lab.runs.append(self.way)
        self.lab.now += self.seconds
        return {}


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lab:
    made = Lab()
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mien.engines.selection, "load_engine", made.load)
    monkeypatch.setattr(mien.engines.selection, "time", made)
    monkeypatch.setattr(
        mien.engines.selection, "has_library", lambda device: any(device == name for name, _ in made.speeds)
    )
    return made


@pytest.fixture
def bundle(bundle_copy: Path) -> Bundle:
    """With fp16 and int8 files whose proofs passed."""
    return find_bundle(change(bundle_copy, {FILES["fp16"]: b"half", FILES["int8"]: b"quick"}, proofs=PASSED))


def picked(bundle: Bundle, *args: str, **options: bool) -> Backend:
    choice = select_backend(bundle, *args, **options)
    return choice.device, choice.precision


def kept() -> list[Path]:
    return sorted((cache_folder() / "choices").iterdir())


@pytest.mark.parametrize(
    ("cpu", "openvino", "cpu8", "openvino8", "best"),
    [
        (0.010, 0.004, 0.008, 0.005, ("openvino", "fp32")),
        (0.004, 0.010, 0.008, 0.005, ("cpu", "fp32")),
        (0.010, 0.010, 0.004, 0.006, ("cpu", "int8")),
        (0.010, 0.010, 0.006, 0.004, ("openvino", "int8")),
    ],
)
def test_the_fastest_is_picked(
    lab: Lab, bundle: Bundle, cpu: float, openvino: float, cpu8: float, openvino8: float, best: Backend
) -> None:
    lab.speeds |= {("cpu", "fp32"): cpu, ("openvino", "fp32"): openvino}
    lab.speeds |= {("cpu", "int8"): cpu8, ("openvino", "int8"): openvino8}
    choice = select_backend(bundle)
    assert (choice.device, choice.precision) == best
    assert choice.times == {" ".join(way): pytest.approx(1000 * speed) for way, speed in lab.speeds.items()}
    assert choice.why == "the fastest here"
    assert choice.refused == {}


@pytest.mark.parametrize(("seconds", "best"), [(0.00995, "fp32"), (0.0092, "fp32"), (0.0090, "int8"), (0.0020, "int8")])
def test_what_is_less_exact_has_to_be_a_tenth_faster(lab: Lab, bundle: Bundle, seconds: float, best: str) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("cpu", "int8"): seconds}
    choice = select_backend(bundle)
    assert choice.precision == best
    assert choice.why == ("the fastest here" if best == "int8" else "nothing less exact is 10% faster")


def test_the_first_calls_of_a_turn_are_not_counted(lab: Lab, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines allocate and compile in their first calls, and find cold caches in those after another engine's turn."""

    class Turn(float):
        """Seconds of the calls of a turn: the first few are slow, of the others 5 ms is the median."""

        calls = 0

        def __radd__(self, now: float) -> float:
            Turn.calls += 1
            return now + (0.9, 0.8, 0.7, 0.005, 0.005, 0.005, 0.007, 0.007)[Turn.calls % 8 - 2]

    assert (mien.engines.selection.WARM_UP, mien.engines.selection.CALLS) == (3, 5)
    lab.speeds |= {("cpu", "fp32"): 0.006, ("openvino", "fp32"): Turn(0)}
    choice = select_backend(bundle, precision="fp32")
    assert choice.times == {"cpu fp32": pytest.approx(6), "openvino fp32": pytest.approx(5)}
    assert choice.device == "openvino"


def test_a_hiccup_does_not_decide(lab: Lab, bundle: Bundle) -> None:
    class Hiccup(float):
        calls = 0

        def __radd__(self, now: float) -> float:
            Hiccup.calls += 1
            return now + (9.0 if Hiccup.calls % 9 == 0 else 0.005)

    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): Hiccup(0.005)}
    assert picked(bundle, "auto", "fp32") == ("openvino", "fp32")
    assert Hiccup.calls > 9


def test_engines_run_in_turns_of_several_calls(lab: Lab, bundle: Bundle) -> None:
    """So that a machine that grows warm or busy slows down all, and no engine's busy threads the next one's calls."""
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.010}
    select_backend(bundle, precision="fp32")
    runs = lab.runs[2:]
    changes = sum(a != b for a, b in pairwise(runs))
    assert runs.count(("cpu", "fp32")) == runs.count(("openvino", "fp32")) >= 20
    assert 4 <= changes <= len(runs) / 4


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


@pytest.mark.parametrize(
    "proofs", [{}, {"int8": {}}, {"int8": {"passed": False}}, {"int8": {"passed": "yes"}}, {"fp16": {"passed": True}}]
)
def test_int8_without_a_passed_proof_has_to_be_asked_for(
    lab: Lab, bundle: Bundle, proofs: dict[str, dict[str, object]]
) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.010}
    lab.speeds |= {("cpu", "int8"): 0.001, ("openvino", "int8"): 0.001}
    unproven = find_bundle(change(bundle.folder, proofs=proofs))
    choice = select_backend(unproven)
    assert choice.precision == "fp32"
    assert not {way for way in lab.opened if way[1] == "int8"}
    assert picked(unproven, "auto", "int8") == ("cpu", "int8")
    assert picked(unproven, "openvino", "int8") == ("openvino", "int8")


@pytest.mark.parametrize("precision", IR_FILES)
def test_openvinos_own_form_needs_its_own_proof(lab: Lab, bundle: Bundle, precision: str) -> None:
    lab.speeds |= {("cpu", precision): 0.010, ("openvino", precision): 0.001}
    files = {IR_FILES[precision]: b"graph", str(Path(IR_FILES[precision]).with_suffix(".bin")): b"weights"}
    own = change(bundle.folder, files)
    for proof, device in (({}, "cpu"), ({"passed": False}, "cpu"), ({"passed": True}, "openvino")):
        proofs = PASSED | {f"openvino {precision}": proof}
        assert picked(find_bundle(change(own, proofs=proofs)))[0] == device
    assert picked(find_bundle(change(own, proofs={})), "openvino", precision) == ("openvino", precision)


def test_half_precision_is_for_gpus(lab: Lab, bundle: Bundle) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("cpu", "fp16"): 0.001, ("openvino", "fp16"): 0.001}
    lab.speeds |= {("cuda", "fp32"): 0.005, ("cuda", "fp16"): 0.004}
    assert picked(bundle) == ("cuda", "fp16")
    assert {way for way in lab.opened if way[1] == "fp16"} == {("cuda", "fp16")}


def test_only_half_precision_without_a_gpu_says_so(lab: Lab, bundle: Bundle) -> None:
    lab.speeds |= {("cpu", "fp16"): 0.001}
    (bundle.folder / FILES["fp32"]).unlink()
    values = json.loads((bundle.folder / "card.json").read_text())
    values["files"] = {FILES["fp16"]: values["files"][FILES["fp16"]]}
    (bundle.folder / "card.json").write_text(json.dumps(values))
    with pytest.raises(EngineUnavailable, match="name the precision"):
        select_backend(find_bundle(bundle.folder))


def test_one_possible_way_is_not_measured(lab: Lab, bundle: Bundle) -> None:
    lab.speeds |= {("openvino", "fp32"): 0.010}
    for args in (("openvino", "fp32"), ("auto", "fp32")):
        choice = select_backend(bundle, *args)
        assert (choice.device, choice.precision, choice.times) == ("openvino", "fp32", {})
    assert lab.opened == []
    assert not cache_folder().exists()


def test_refused_ways_are_named(lab: Lab, bundle: Bundle) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("cuda", "fp32"): EngineUnavailable("no GPU here")}
    choice = select_backend(bundle, "auto", "fp32")
    assert choice.refused == {"cuda fp32": "no GPU here"}
    assert choice.why == "the only one that runs here"
    assert choice.times == {"cpu fp32": pytest.approx(10)}


@pytest.mark.parametrize("error", [RuntimeError("cuDNN is missing"), OSError("bad library"), AttributeError("Core")])
def test_a_broken_library_does_not_keep_the_others_from_use(lab: Lab, bundle: Bundle, error: Exception) -> None:
    """Neither one that cannot be opened, nor one that fails in its first call."""
    lab.speeds |= {("cuda", "fp32"): 0.001, ("cpu", "fp32"): 0.010, ("openvino", "fp32"): error}
    lab.breaks["cuda", "fp32"] = error
    choice = select_backend(bundle, "auto", "fp32")
    assert choice.device == "cpu"
    assert choice.refused == {"cuda fp32": str(error), "openvino fp32": str(error)}


def test_what_cannot_be_had_raises(lab: Lab, bundle: Bundle, bundle_copy: Path) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("cuda", "fp32"): EngineUnavailable("no GPU here")}
    for args, message in (
        (("abacus", "auto"), "unknown device 'abacus'"),
        (("cuda", "auto"), "no GPU here"),
        (("auto", "int3"), "unknown precision 'int3'"),
        (("auto", "int8"), "cpu is not there; cuda is not there|cuda is not there; cpu is not there"),
    ):
        with pytest.raises(EngineUnavailable, match=message):
            select_backend(bundle, *args)
    lab.speeds.clear()
    with pytest.raises(EngineUnavailable, match=r'pip install "mien\[cpu\]"'):
        select_backend(bundle)


def test_a_named_way_that_cannot_be_had_raises_in_the_recognizer(lab: Lab, tiny_bundle: Path) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010}
    for options, message in (
        ({"device": "cuda", "precision": "fp32"}, "cuda is not there"),
        ({"device": "cuda"}, "cuda is not there"),
        ({"device": "cpu", "precision": "int8"}, "has no int8 model"),
        ({"precision": "int8"}, "has no int8 model"),
    ):
        with pytest.raises(EngineUnavailable, match=message):
            Recognizer(tiny_bundle, **options)


def test_an_altered_bundle_is_invalid_whatever_is_installed(lab: Lab, bundle: Bundle) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.010}
    (bundle.folder / FILES["fp32"]).write_bytes(b"altered")
    with pytest.raises(ModelInvalid, match="the file was altered") as caught:
        select_backend(bundle, precision="fp32")
    assert str(caught.value).count("was altered") == 1


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_is_bad_input(lab: Lab, bundle: Bundle, threads: int) -> None:
    lab.speeds |= {("cpu", "fp32"): 0.010, ("openvino", "fp32"): 0.010}
    with pytest.raises(InputError, match="use a whole number from 1"):
        select_backend(bundle, threads=threads)


def test_real_engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the packaged student: what is chosen opens, and every way is either timed or refused with a reason."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    bundle = find_bundle()
    choice = select_backend(bundle, threads=1)
    possible = {" ".join(way) for way in mien.engines.selection.candidates(bundle, "auto", "auto")}
    if len(possible) > 1:
        assert set(choice.times) | set(choice.refused) == possible
        assert all(value > 0 for value in choice.times.values())
        assert all(choice.refused.values())
    assert mien.engines.selection.open_backend(bundle, (choice.device, choice.precision), 1).name
    assert select_backend(bundle, threads=1) == choice
