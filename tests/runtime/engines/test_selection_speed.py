"""``auto`` picks by speed: how engines are measured, and what wins."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from made_up_engines import Lab, picked

import mien.engines.selection
from mien.bundle import Bundle, find_bundle
from mien.engines.selection import Backend, select_backend
from mien.files import cache_folder


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


def test_one_possible_way_is_not_measured(lab: Lab, bundle: Bundle) -> None:
    lab.speeds |= {("openvino", "fp32"): 0.010}
    for args in (("openvino", "fp32"), ("auto", "fp32")):
        choice = select_backend(bundle, *args)
        assert (choice.device, choice.precision, choice.times) == ("openvino", "fp32", {})
    assert lab.opened == []
    assert not cache_folder().exists()


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
