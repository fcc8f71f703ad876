"""Which precisions ``auto`` takes: int8 with a proof that passed, half precision on GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up_engines import PASSED, Lab, picked
from tiny_card import change

from mien.bundle import FILES, IR_FILES, Bundle, find_bundle
from mien.engines.selection import select_backend
from mien.errors import EngineUnavailable


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
