"""Compounds learned in training, from the checkpoint to what the device says."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny_compounds import COMPOUNDS, write_cfee, write_ferplus
from tiny_exemplars import add_exemplars
from tiny_teacher import write_checkpoint

import mien.bundle
import mien.recognizer
import mien_export.share
import mien_train.evaluation.metrics
from mien import Recognizer
from mien.align import CropSpec
from mien.bundle import find_bundle
from mien.bundle.card import Calibration, ModelCard, TrainingSet, read_card
from mien.cli import parse_args as parse_run
from mien.cli import run as fer_run
from mien.engines import selection
from mien.errors import EngineUnavailable, InputError, ModelInvalid
from mien.files import sha256
from mien.types import EXPRESSIONS
from mien_export.cli import parse_args as parse_export
from mien_export.cli import run as export
from mien_export.pack import Wanted, pack
from mien_export.parity import ParityError
from mien_export.share import share
from mien_train.cli import parse_args, run
from mien_train.continual.network import load_grown
from mien_train.models.checkpoints import load_checkpoint, load_student

SPEC = CropSpec(32, "landmarks", 0.9)
LABELS = ("neutral", "fear", *COMPOUNDS)
"""What somebody shows in the made-up CFEE: the other basic expressions are not told."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("grown")
    write_ferplus(folder, "test", portrait, 2, 9000)
    write_cfee(folder / "CFEE", portrait)
    return folder


@pytest.fixture(scope="module")
def checkpoint(root: Path) -> Path:
    """As ``fer-train continual`` and ``finish`` leave it, with a head that nobody trained."""
    path = write_checkpoint(root / "basic.pt", SPEC)
    state = load_checkpoint(path)
    student = load_student(path)[0]
    width = student.expression.in_features
    card = ModelCard(
        name="basic", version="0", labels=EXPRESSIONS, crop=SPEC, embedding=width, backbone="mobilenetv3_small_050",
        macs=1, parameters=1, calibration=Calibration(1.0), limits="for tests only", files={},
        metrics={
            "affectnet-va/train, 5-fold": {"head": {"rmse_valence": 0.4, "rmse_arousal": 0.4}},
            "ferplus/test": {"accuracy": 0.5}, "away/test": {"accuracy": 0.5},
        },
        training=(TrainingSet("ferplus/train", 80, "for research"),),
    )  # fmt: skip
    state |= {"card": json.loads(card.to_json()), "origin": "Nobody trained it."}
    torch.save(state, path)
    recipe = {
        "classes": {
            "compounds": list(COMPOUNDS),
            "train": [f"{root}/CFEE/train"],
            "test": [f"{root}/CFEE/test"],
            "near_duplicates": -1,
        }
    }
    # Learned in another order than the recipe's.
    beside = {
        "names": list(reversed(COMPOUNDS)),
        "weight": student.expression.weight.detach()[1:3] * 2,
        "bias": torch.zeros(2),
    }
    state["learned"] = {"from": str(path), "card": state.pop("card"), "recipe": recipe}
    grown = root / "continual.pt"
    torch.save({**state, "compounds": beside}, grown)
    with pytest.MonkeyPatch.context() as patch:
        real: Callable[..., Any] = mien_train.evaluation.metrics.bootstrap
        patch.setattr(mien_train.evaluation.metrics, "bootstrap", lambda of, count: real(of, count, 20))
        assert run(parse_args(["finish", str(grown), "--data", str(root)])) == 0
    return grown


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, root: Path) -> Path:
    pack(checkpoint, root / "bundle", Wanted())
    return root / "bundle"


@pytest.fixture
def packaged(checkpoint: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of packaged bundles, with the student that learned the compounds as ``basic``."""
    models, basic = tmp_path / "models", load_checkpoint(root / "basic.pt")
    figures = load_checkpoint(checkpoint)["card"]["metrics"]
    basic["card"]["metrics"] = {name: values for name, values in figures.items() if "accuracy" not in values}
    torch.save(basic, tmp_path / "basic.pt")
    pack(tmp_path / "basic.pt", models / "basic", Wanted(int8=True, force=True))
    rewrite(models / "basic", proofs={"int8": {**read_card(models / "basic").proofs["int8"], "passed": True}})
    for module in (mien.bundle, mien.recognizer, mien_export.share):
        monkeypatch.setattr(module, "MODELS", models)
    monkeypatch.setattr(selection, "INT8_WRONG", 2.0)  # a network that nobody trained is wrong in INT8
    return models


def test_the_card_says_what_it_tells_and_how_well(checkpoint: Path, root: Path) -> None:
    state = load_checkpoint(checkpoint)
    card = state["card"]
    assert tuple(card["labels"]) == ("neutral", "fear", *reversed(COMPOUNDS))
    kept, posed, basic = card["metrics"]
    assert kept == "agreement with basic, whose head was kept"
    assert card["metrics"][kept]["kept"]["ccc_valence"] == 1
    assert posed == f"{root}/CFEE/test"
    assert set(card["metrics"][posed]["recall"]) == set(LABELS)
    assert basic == "ferplus/test"
    assert set(card["metrics"][basic]["recall"]) == {"neutral", "fear"}, "all classes compete, and those are its own"
    assert [item["name"] for item in card["training"]] == ["ferplus/train", f"{root}/CFEE/train, compounds"]
    assert "2 of its expressions are compounds" in card["limits"]
    assert "It does not tell happiness, sadness, surprise, disgust, anger, contempt" in card["limits"]
    assert f"temperature was fitted on {root}/CFEE/test" in card["origin"]
    assert torch.equal(state["compounds"]["bias"], torch.zeros(2)), "only the temperature was fitted"


def test_the_bundle_says_what_torch_says(checkpoint: Path, bundle: Path, portrait: np.ndarray) -> None:
    recognizer = Recognizer(bundle, device="cpu", precision="fp32", threads=1)
    assert recognizer.labels == read_card(bundle).labels
    assert set(recognizer.labels) == set(LABELS)
    (face,) = recognizer.predict(portrait)
    assert face.affect is not None
    student, _, head, names = load_grown(checkpoint)
    logits = head(torch.from_numpy(face.embedding)[None])[0, [names.index(name) for name in recognizer.labels]]
    temperature = student.log_temperature(torch.from_numpy(face.embedding)).clamp(-1.6, 1.6).exp()
    wanted = (logits / temperature).softmax(0).tolist()
    assert list(face.expression.probabilities.values()) == pytest.approx(wanted, abs=1e-4)
    with pytest.raises(InputError, match="has no temporal encoder"):
        recognizer.stream(temporal=True)
    (face,) = recognizer.stream(baseline=0.01).update(portrait, 0.0)
    assert tuple(face.expression.probabilities) == recognizer.labels
    words = (bundle / "MODEL_CARD.md").read_text()
    assert "All 4 classes compete on every set" in words
    assert "It has no temporal encoder" in words


def test_fer_run_writes_and_leaves_out_compounds(bundle: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), portrait)
    arguments = [str(picture), "--model", str(bundle), "--device", "cpu", "--exclude", "sadly angry"]
    arguments += ["--json", str(tmp_path / "f.jsonl"), "--csv", str(tmp_path / "f.csv")]
    arguments += ["--summary", str(tmp_path / "s.json"), "--save", str(tmp_path / "o.png")]
    assert fer_run(parse_run(arguments)) == 0
    record = json.loads((tmp_path / "f.jsonl").read_text())
    left = [label for label in read_card(bundle).labels if label != "sadly angry"]
    assert list(record["probabilities"]) == left
    assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    (row,) = csv.DictReader((tmp_path / "f.csv").open())
    assert [key for key in row if key.startswith("p_")] == [f"p_{label}" for label in left]
    assert json.loads((tmp_path / "s.json").read_text())["readings"]["expressions"] == {record["expression"]: 1}
    assert cv2.imread(str(tmp_path / "o.png")).shape == portrait.shape


def test_a_device_learns_beside_compounds(bundle: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    own = add_exemplars(Path(shutil.copytree(bundle, tmp_path / "own")), 200)
    recognizer = Recognizer(own, device="cpu", precision="fp32", threads=1)
    with pytest.raises(InputError, match="'sadly angry' is an expression that the model knows already"):
        recognizer.enroll("sadly angry", [portrait])
    report = recognizer.enroll("wink", [portrait, portrait[:, ::-1]], max_loss=1.0)
    assert set(report.losses) <= set(LABELS)
    recognizer.save_personal(tmp_path / "me.npz")
    again = Recognizer(own, device="cpu", precision="fp32", threads=1, personal=tmp_path / "me.npz")
    assert again.labels == (*read_card(own).labels, "wink")
    (face,) = again.predict(portrait)
    assert sum(face.expression.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_a_student_without_a_card_cannot_say_what_it_learned_from(checkpoint: Path, tmp_path: Path) -> None:
    state = load_checkpoint(checkpoint)
    torch.save({**state, "learned": {**state["learned"], "card": None}}, tmp_path / "a.pt")
    with pytest.raises(ModelInvalid, match="a student without a card"):
        run(parse_args(["finish", str(tmp_path / "a.pt")]))
    with pytest.raises(InputError, match="--set is for students of basic expressions"):
        run(parse_args(["finish", str(checkpoint), "--set", "data.contempt=0.3"]))


def test_a_head_on_a_packaged_network_says_what_torch_says(
    checkpoint: Path,
    bundle: Path,
    packaged: Path,
    portrait: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = packaged / "compound"
    assert export(parse_export([str(checkpoint), "-o", str(out), "--share", "basic", "--force"])) == 0
    assert "against torch" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"MODEL_CARD.md", "card.json", "golden.json", "head.npz"}
    assert sum(path.stat().st_size for path in out.iterdir()) < 100_000
    assert list(read_card(out).proofs) == ["int8"]
    assert "uses the network of the packaged bundle `basic`" in (out / "MODEL_CARD.md").read_text()
    whole = Recognizer(bundle, device="cpu", precision="fp32", threads=1)
    headed = Recognizer("compound", device="cpu", precision="fp32", threads=1)
    assert headed.labels == whole.labels
    (face,), (same,) = whole.predict(portrait), headed.predict(portrait)
    assert list(same.expression.probabilities.values()) == pytest.approx(
        list(face.expression.probabilities.values()), abs=1e-5
    )
    assert face.affect is not None
    assert same.affect is not None
    assert same.affect.valence == pytest.approx(face.affect.valence, abs=1e-5)
    assert find_bundle("compound").precisions == ["fp32", "int8"]
    monkeypatch.setattr(selection, "INT8_WRONG", 0.0)
    with pytest.raises(EngineUnavailable, match="is wrong in int8"):  # judged by the network, before the head
        Recognizer("compound", device="cpu", precision="int8", threads=1)
    with pytest.raises(ModelInvalid, match="holds only a head for the network of 'basic'"):
        pack("compound", out.with_name("other"), Wanted())


def test_a_head_is_only_for_the_network_that_it_was_trained_on(
    checkpoint: Path, bundle: Path, packaged: Path, tmp_path: Path
) -> None:
    out = packaged / "compound"
    state = load_checkpoint(checkpoint)
    torch.save(
        {**state, "ema": {k: v * 1.2 if "blocks" in k else v for k, v in state["ema"].items()}}, tmp_path / "a.pt"
    )
    with pytest.raises(ParityError, match="differs from the trained one"):
        share(tmp_path / "a.pt", "basic", out, Wanted())
    for source, name, wanted, words in (
        (bundle, "basic", Wanted(), "takes the last layer of a checkpoint"),
        (checkpoint, str(bundle), Wanted(), "wants the name of a packaged bundle"),
        (checkpoint, "basic", Wanted(half=True), "writes no model file"),
    ):
        with pytest.raises(InputError, match=words):
            share(source, name, out, wanted)
    assert not out.exists()
    share(checkpoint, "basic", out, Wanted(force=True))
    np.savez(out / "head.npz", weight=np.zeros((4, 5)), bias=np.zeros(4), temperature=np.zeros(6))
    own = read_card(out).files
    with pytest.raises(ModelInvalid, match="was altered"):
        Recognizer("compound", device="cpu", precision="fp32", threads=1)
    rewrite(out, files={**own, "head.npz": sha256(out / "head.npz")})
    with pytest.raises(ModelInvalid, match="does not fit its card"):
        Recognizer("compound", device="cpu", precision="fp32", threads=1)
    rewrite(packaged / "basic", files={**read_card(packaged / "basic").files, "model.onnx": "0" * 64})
    with pytest.raises(ModelInvalid, match="made for another basic"):
        Recognizer("compound", device="cpu", precision="fp32", threads=1)
    rewrite(out, network={"bundle": "../basic", "sha256": ""})
    with pytest.raises(ModelInvalid, match="network must name a packaged bundle"):
        read_card(out)


def rewrite(folder: Path, **values: object) -> None:
    """Set values of a card, without the files that it names."""
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | values))
