"""Figures of checkpoints, bundles and teachers, and the paired comparison of two."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_teacher import write_checkpoint, write_onnx

from mien.align import CropSpec
from mien.errors import InputError
from mien_train.data.sets import load_with_landmarks
from mien_train.evaluation.affect_head import FOLDS, folds
from mien_train.evaluation.evaluate import compare, evaluate
from mien_train.evaluation.metrics import affect_metrics
from mien_train.evaluation.plots import plot_evaluation
from mien_train.evaluation.predict import predict
from mien_train.evaluation.report import comparison, lines
from mien_train.models.checkpoints import load_checkpoint, load_student

pytestmark = pytest.mark.usefixtures("few_resamples")
TESTS = ["ferplus/test", "rafdb/test", "affectnet-subset/test"]


def test_a_checkpoint_is_judged_on_its_test_sets_and_by_folds(teacher: Path, data: Path, tmp_path: Path) -> None:
    made = evaluate(teacher, data)
    card = load_checkpoint(teacher)["card"]
    assert list(made.figures) == ["ferplus/test", "rafdb/test", "affectnet-va/train, 5-fold", "macs"]
    assert made.figures["macs"] == card["macs"]
    assert made.figures["ferplus/test"]["accuracy"] == made.tests["ferplus/test"].accuracy()
    assert made.figures["ferplus/test"]["accuracy"] == card["metrics"]["ferplus/test"]["accuracy"]
    assert made.affect is not None
    truth, held_out = made.affect
    assert affect_metrics(held_out, truth) == made.figures["affectnet-va/train, 5-fold"]["head"]
    # The heads are fitted anew, so a checkpoint that has none yet gets the same figures.
    unfinished = evaluate(teacher.with_name("unfinished.pt"), data)
    assert (
        unfinished.figures["affectnet-va/train, 5-fold"]["head"] == made.figures["affectnet-va/train, 5-fold"]["head"]
    )
    plot_evaluation(unfinished, tmp_path / "evaluation.png", load_checkpoint(teacher)["history"])
    assert (tmp_path / "evaluation.png").stat().st_size > 10_000
    text = "\n".join(lines(made.figures))
    for part in ("ferplus/test", "macro-F1", "recall neutral", "affectnet-va/train, 5-fold, last_fold", "SAGR", "macs"):
        assert part in text


def test_sets_that_were_trained_on_are_named_so(teacher: Path, data: Path, tmp_path: Path) -> None:
    made = evaluate(teacher, data, ("ferplus/train", "affectnet-subset/test"))
    assert set(made.figures) == {"ferplus/train, TRAINED ON", "affectnet-subset/test", "macs"}
    assert made.affect is None
    plot_evaluation(made, tmp_path / "evaluation.png")
    with pytest.raises(InputError, match="no expression labels"):
        evaluate(teacher, data, ("unlabelled/train",))
    with pytest.raises(InputError, match="no data set 'none/test'"):
        evaluate(teacher, data, ("none/test",))


def test_bundles_and_teachers_are_judged_on_their_own_outputs(
    tiny_bundle: Path, teacher: Path, data: Path, tmp_path: Path
) -> None:
    made = evaluate(tiny_bundle, data)
    assert list(made.figures) == [*TESTS, "affectnet-va/train, own head"]
    assert made.figures["affectnet-va/train, own head"]["last_fold"]["images"] == 40 // FOLDS

    written = tmp_path / "ensemble.toml"
    written.write_text(f'kind = "ensemble"\nmembers = ["{teacher}"]\nflip = false\n')
    made = evaluate(written, data)
    student, recipe, _ = load_student(teacher)
    item = load_with_landmarks("affectnet-va/train", data)
    last = folds(item.faces.expression, 0) == FOLDS - 1
    own = predict(student, item.subset(last), recipe.crop)
    expected = affect_metrics(own.predicted_affect.clip(-1, 1), own.affect)
    made_of = made.figures["affectnet-va/train, own head"]["last_fold"]
    assert {k: made_of[k] for k in ("images", "ccc_valence", "rmse_arousal")} == pytest.approx(
        {k: expected[k] for k in ("images", "ccc_valence", "rmse_arousal")}, abs=2e-4
    )
    assert made.figures["ferplus/test"]["recall"] == evaluate(teacher, data).figures["ferplus/test"]["recall"]


def test_a_teacher_without_affect_or_classes_has_figures_all_the_same(data: Path, tmp_path: Path) -> None:
    write_onnx(tmp_path / "net.onnx", size=32)
    written = tmp_path / "teacher.toml"
    written.write_text(
        'kind = "onnx"\nmodel = "net.onnx"\nexpression = "both[0:5]"\n'
        'classes = ["neutral", "happiness", "sadness", "surprise", "fear"]\n[crop]\nsize = 32\n'
    )
    made = evaluate(written, data)
    assert list(made.figures) == TESTS
    assert made.affect is None
    assert made.figures["ferplus/test"]["recall"]["anger"] == 0
    assert np.isfinite(made.tests["ferplus/test"].probabilities()).all()
    assert evaluate(written, data, ("rafdb/test",)).figures.keys() == {"rafdb/test"}


def test_a_network_against_itself_differs_by_nothing(teacher: Path, data: Path) -> None:
    made = compare(teacher, teacher, data)
    assert list(made) == [*TESTS, "mean"]
    for name in TESTS:
        assert made[name]["difference"] == 0
        assert tuple(made[name]["interval"]) == (0, 0)
    assert made["mean"]["difference"] == 0


def test_a_trained_network_beats_an_untrained_one(teacher: Path, data: Path, tmp_path: Path) -> None:
    untrained = write_checkpoint(tmp_path / "untrained.pt", CropSpec(32))
    sets = ("ferplus/test", "ferplus/train")
    made, reverse = compare(teacher, untrained, data, sets), compare(untrained, teacher, data, sets)
    for name in sets:
        first, second = made[name]["accuracies"]
        assert made[name]["difference"] == pytest.approx(first - second, abs=1e-4)
        low, high = made[name]["interval"]
        assert 0 < low < made[name]["difference"] < high
        assert reverse[name]["difference"] == -made[name]["difference"]
    mean = np.mean([made[name]["difference"] for name in sets])
    assert made["mean"]["difference"] == pytest.approx(mean, abs=1e-4)
    assert "interval" not in made["mean"]
    text = comparison(made)
    assert len(text) == 3
    assert f"{low:+.4f}, {high:+.4f}" in text[1]


def test_a_comparison_says_who_trained_on_the_set(teacher: Path, tiny_bundle: Path, data: Path, tmp_path: Path) -> None:
    written = tmp_path / "ensemble.toml"
    written.write_text(f'kind = "ensemble"\nmembers = ["{tiny_bundle}", "{teacher}"]\n')
    made = compare(tiny_bundle, written, data, ("ferplus/train", "ferplus/test"))
    assert made["ferplus/train"]["trained_on"] == [False, True]
    assert "trained_on" not in made["ferplus/test"]
    text = comparison(made)
    assert text[0].endswith("TRAINED ON by second")
    assert "TRAINED" not in text[1]


def test_what_was_left_out_of_the_head_is_left_out_of_its_figures(teacher: Path, data: Path, tmp_path: Path) -> None:
    """With affect_unseen the last fold teaches the head nothing, and the card counts only the images that did."""
    import torch

    from mien_train.finish import finish

    state = load_checkpoint(teacher.with_name("unfinished.pt"))
    recipe = load_student(teacher)[1]
    heads, counts = [], []
    for unseen in (False, True):
        changed = replace(recipe, data=replace(recipe.data, affect_unseen=unseen))
        path = tmp_path / f"{unseen}.pt"
        torch.save({**state, "recipe": changed.to_dict()}, path)
        finish(path, data)
        heads.append(load_student(path)[0].affect.weight)
        (used,) = [t for t in load_checkpoint(path)["card"]["training"] if "affect head only" in t["name"]]
        counts.append(used["images"])
    assert counts == [40, 32]
    assert not torch.allclose(*heads)
