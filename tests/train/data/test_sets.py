"""Which images are trained on, and which are kept out."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import InputError
from mien_train.data.batches import Faces
from mien_train.data.datasets import load_faces
from mien_train.data.sets import check_anchors, load_sets, load_with_landmarks
from mien_train.recipe import DataRecipe, Recipe
from mien_train.supervised.trainer import train


def pictures(items: list[Faces]) -> set[bytes]:
    return {item.faces.encoded(i) for item in items for i in range(len(item.faces))}


def test_sets_without_a_validation_split_give_up_a_share(data: Path, recipe: Recipe) -> None:
    """FER+ has a split of its own, RAF-DB has none, and nothing could be measured on the unlabeled."""
    wanted = replace(recipe.data, train=("ferplus/train", "rafdb/train", "unlabelled/train"), holdout=0.25)
    training, validation = load_sets(replace(recipe, data=wanted), data)
    assert [item.faces.name for item in validation] == ["ferplus/validation", "rafdb/train"]
    held = len(validation[1].faces)
    assert 0 < held < 28
    assert [len(item.faces) for item in training] == [64, 56 - held, 64]
    assert not pictures(training) & pictures(validation)
    for item in (*training, *validation):
        assert len(item.landmarks.box) == len(item.faces)


def test_a_set_that_is_named_twice_is_drawn_twice_as_often(data: Path, recipe: Recipe) -> None:
    wanted = replace(recipe.data, train=("rafdb/train", "ferplus/train", "rafdb/train"))
    training, validation = load_sets(replace(recipe, data=wanted), data)
    assert [item.faces.name for item in training] == ["rafdb/train", "ferplus/train"]
    assert wanted.shares == {"rafdb/train": 2.0, "ferplus/train": 1.0}
    assert [item.faces.name for item in validation].count("rafdb/train") == 1


def test_a_folder_has_one_name_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faces").mkdir()
    monkeypatch.chdir(tmp_path)
    assert DataRecipe(train=("./faces", "faces/", "faces*2")).shares == {"faces": 4.0}


def test_limit_draws_by_the_seed(data: Path, recipe: Recipe) -> None:
    def drawn(seed: int) -> list[Faces]:
        return load_sets(replace(recipe, seed=seed, data=replace(recipe.data, limit=10)), data)[0]

    assert [len(item.faces) for item in drawn(0)] == [10, 10]
    assert pictures(drawn(0)) == pictures(drawn(0)) != pictures(drawn(1))


def test_images_of_the_test_sets_are_not_trained_on(
    data: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which faces are alike is duplicates.py's to say; here a face is one of the test set's or it is none."""
    tested = {load_faces("ferplus/test", data).encoded(i) for i in range(0, 24, 2)}

    def hashes(faces: object) -> np.ndarray:
        assert isinstance(faces, type(load_faces("ferplus/test", data)))
        keys = [hash(faces.encoded(i)) % 2**63 for i in range(len(faces))]
        return np.array([[key] * 4 for key in keys], np.uint64)

    monkeypatch.setattr("mien_train.data.sets.difference_hashes", hashes)
    both = replace(recipe.data, train=("ferplus/train", "ferplus/test"), near_duplicates=0)
    training, _ = load_sets(replace(recipe, data=both), data)
    assert [len(item.faces) for item in training] == [64, 0]
    assert not tested & pictures(training)
    nothing = replace(recipe, data=replace(both, train=("ferplus/test",)))
    with pytest.raises(InputError, match="no training image is left"):
        train(nothing, data, tmp_path / "run", threads=1)
    unchecked = replace(recipe, data=replace(both, near_duplicates=-1))
    assert [len(item.faces) for item in load_sets(unchecked, data)[0]] == [64, 24]
    assert len(load_with_landmarks("ferplus/test", data).faces) == 24


def test_anchors_are_training_sets(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    wrong = replace(recipe, data=replace(recipe.data, anchors=("rafdb/trian",)))
    with pytest.raises(InputError, match=r"data.anchors has .*rafdb/trian.* must all be among data.train"):
        train(wrong, data, tmp_path / "run", threads=1)
    check_anchors(replace(recipe.data, anchors=("rafdb/train/",)))


def test_the_held_out_part_of_a_training_set_has_a_name(data: Path, recipe: Recipe) -> None:
    """So that a choice can be made on images that neither trained nor test anything."""
    held = load_with_landmarks("rafdb/holdout", data)
    share = replace(recipe, data=replace(recipe.data, holdout=DataRecipe().holdout))
    kept_out = next(item for item in load_sets(share, data)[1] if item.faces.name == "rafdb/train")
    assert held.faces.name == "rafdb/holdout"
    assert pictures([held]) == pictures([kept_out])
    assert len(held.faces) == len(kept_out.faces) > 0


def test_pictures_of_a_folder_without_a_face_are_named_and_left_out(
    portrait: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "happiness"
    folder.mkdir()
    cv2.imwrite(str(folder / "blank.png"), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(InputError, match=r"no face was found in any of the 1 pictures of .*test_pictures"):
        load_with_landmarks(str(tmp_path), None)
    cv2.imwrite(str(folder / "face.png"), portrait[40:200, 150:300])
    item = load_with_landmarks(str(tmp_path), None)
    assert [item.faces.place(i) for i in range(len(item.faces))] == [str(folder / "face.png")]
    assert item.landmarks.found.all()
    assert f"left out: {folder / 'blank.png'}" in capsys.readouterr().err
