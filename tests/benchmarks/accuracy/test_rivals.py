"""Other programs: how they are judged, and what a process gives and refuses."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.rivals import KNOWN, judged, middlemost, scene, shares
from benchmarks.rivals import catalog
from benchmarks.rivals.catalog import OURS, RIVALS
from benchmarks.rivals.environments import Environment, NotHad, environment, tree_state
from benchmarks.rivals.plot import plot_report
from benchmarks.rivals.process import Found, Running
from benchmarks.speed.rivals import asked, frame
from mien.types import EXPRESSIONS, Image
from mien_train.data.datasets import FaceSet


def faces_with(labels: list[int]) -> FaceSet:
    count = len(labels)
    nothing = np.full((count, 8), np.nan, np.float32)
    return FaceSet("made", None, np.arange(count), np.array(labels, np.int64), nothing, nothing[:, :2])


def certain(labels: list[int]) -> np.ndarray:
    return np.eye(8)[labels] * 0.9 + 0.0125


def test_a_rival_is_judged_over_the_classes_that_it_knows() -> None:
    contempt = EXPRESSIONS.index("contempt")
    truth = [0, 1, 2, contempt]
    theirs = certain([0, 2, 2, 0])
    theirs[2] = np.nan  # a face that it did not find
    ours = certain([0, contempt, 2, contempt])
    ours[1, 1] = 0.05  # the second best, once contempt is left out
    result = judged("fer", {"made": faces_with(truth)}, {"fer": {"made": theirs}, OURS: {"made": ours}})["sets"]["made"]
    assert result["images"] == 3, "it knows no contempt"
    assert result["theirs"]["found"] == pytest.approx(2 / 3, abs=1e-4)
    assert result["theirs"]["accuracy of all"] == pytest.approx(1 / 3, abs=1e-4)
    assert result["theirs"]["accuracy"] == 0.5
    assert result["ours"]["accuracy of all"] == 1.0
    assert result["ours"]["accuracy"] == 1.0
    assert result["ours"]["images"] == result["theirs"]["images"] == 2
    low, high = result["ours"]["intervals"]["accuracy"]
    assert low == high == 1.0


def test_all_seven_names_lead_to_ours() -> None:
    assert KNOWN[OURS] == EXPRESSIONS
    for name in set(RIVALS) - {OURS}:
        assert KNOWN[name] == EXPRESSIONS[:7]
        assert len(set(RIVALS[name].names.values())) == 7


def test_scores_become_probabilities() -> None:
    made = shares(np.array([[2.0, 2.0], [0.0, 0.0], [np.nan, np.nan]]))
    np.testing.assert_allclose(made[:2], 0.5)
    assert np.isnan(made[2]).all()


def test_the_face_in_the_middle_counts(portrait: Image) -> None:
    picture = scene(portrait[60:180, 170:280])
    assert max(picture.shape[:2]) == 384
    edge, middle = Found((0, 0, 40, 40), {}), Found((150, 150, 230, 230), {})
    assert middlemost([edge, middle], picture) is middle
    assert middlemost([], picture) is None


@pytest.fixture(scope="module")
def here() -> Environment:
    """This environment, as that of a Python program."""
    return Environment(sys.executable, Path(sys.prefix))


def test_a_process_answers_with_faces(here: Environment) -> None:
    with Running(OURS, here, frame(1), threads=1) as running:
        assert running.first_s > 0
        for count in (1, 4, 16):
            faces, seconds = running.ask(frame(count))
            assert len(faces) == count
            assert 0 < seconds < 60
            assert max(faces[0].scores, key=lambda name: faces[0].scores[name]) == "happiness"
        assert running.peak_mb() > 20
        told = asked({OURS: running}, frame(4), rounds=2)
        assert told[OURS][0] == 4


def test_a_process_that_ends_says_why(here: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('no weights')\n")
    monkeypatch.setitem(RIVALS, "broken", replace(RIVALS["fer"], worker=str(tmp_path / "broken.py")))
    with pytest.raises(NotHad, match="its process ended: no weights"):
        Running("broken", replace(here, folder=tmp_path), frame(1))


def test_an_environment_that_exists_is_used_and_one_that_cannot_be_had_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fer").mkdir()
    (tmp_path / "fer/installed.json").write_text(json.dumps(list(RIVALS["fer"].installs)))
    assert environment("fer", tmp_path).program == str(tmp_path / "fer/bin/python")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotHad, match="npm is not installed"):
        environment("@vladmandic/human", tmp_path)
    assert set(catalog.LEFT_OUT).isdisjoint(RIVALS)


def test_forms_of_ours_share_an_environment_and_are_what_they_say(here: Environment, tmp_path: Path) -> None:
    name = next(name for name in catalog.FORMS if "xs, fp32" in name)
    with Running(name, here, frame(1), threads=1) as running:
        small = running.ask(frame(1))[0][0].scores
    with Running(OURS, here, frame(1), threads=1) as running:
        assert running.ask(frame(1))[0][0].scores != small
    (tmp_path / OURS).mkdir()
    (tmp_path / OURS / "installed.json").write_text(json.dumps([*RIVALS[OURS].installs, tree_state()]))
    assert environment(name, tmp_path) == environment(OURS, tmp_path)


def test_the_plot_is_drawn_once_both_reports_are_there(tmp_path: Path) -> None:
    row = {"images": 100, "theirs": {"accuracy of all": 0.5}}
    ours = next(iter(catalog.FORMS))
    sets = {"sets": {"a": row, "b": row}}
    accuracy = {"rivals": {"fer": sets, "facex": sets}, "ours": {ours: sets}}
    speed = {"rivals": {name: {"frames by faces": {"1": {"over ours": 2.0}}} for name in ("fer", ours)}}
    plot_report(tmp_path)
    assert not list(tmp_path.iterdir())
    for what, report in {"accuracy": accuracy, "speed": speed}.items():
        (tmp_path / f"rivals_{what}.json").write_text(json.dumps(report))
    plot_report(tmp_path)
    assert (tmp_path / "rivals.png").stat().st_size > 5000
