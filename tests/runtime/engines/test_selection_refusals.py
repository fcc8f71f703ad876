"""What ``auto`` refuses and says why, and what it raises where nothing that was asked for can be had."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_engines import Lab

from mien.bundle import FILES, Bundle
from mien.engines.selection import select_backend
from mien.errors import EngineUnavailable, InputError, ModelInvalid
from mien.recognizer import Recognizer


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
