import os
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.align import CropSpec, crop_matrix
from mien.errors import InputError
from mien_train.data.augment import augmented_crop
from mien_train.data.batches import SeededDraws, Taught, TrainingFaces
from mien_train.data.datasets import data_root, holdout, load_faces
from mien_train.data.duplicates import difference_hashes, repeats
from mien_train.data.landmarks import cache_file, file_stem, find_landmarks
from mien_train.data.sets import prepare
from mien_train.recipe import AugmentRecipe, DataRecipe


def test_parquet_columns(data: Path) -> None:
    faces = load_faces("ferplus/train", data)
    assert len(faces) == 64
    np.testing.assert_allclose(faces.soft.sum(1), 1, rtol=1e-5)
    assert (faces.soft.argmax(1) == faces.expression).all()
    assert np.isnan(load_faces("rafdb/train", data).soft).all()
    assert not np.isnan(load_faces("affectnet-va/train", data).affect).any()


def put(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def test_folder_of_classes(tmp_path: Path, portrait: np.ndarray) -> None:
    for name in ("Happiness/face.jpg", "anger/monday/face.jpg", ".hidden/face.jpg", "anger/.face.jpg"):
        put(tmp_path / name, portrait)
    (tmp_path / "notes").mkdir()
    (tmp_path / "anger" / "notes.txt").write_text("no picture, by its name")
    faces = load_faces(str(tmp_path))
    assert faces.expression.tolist() == [1, 6]
    assert cv2.imdecode(np.frombuffer(faces.encoded(0), np.uint8), 1).shape == portrait.shape
    assert faces.people() is None


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "holds no pictures; it must hold one folder per class, named neutral"),
        (["face.jpg"], "face.jpg lies outside of the classes' folders"),
        (["happiness/a.jpg", "joy/a.jpg"], "joy is not a class; use folders named neutral"),
        (["train/happiness/a.jpg", "test/happiness/a.jpg"], r"test is not a class; name \S*test instead"),
    ],
)
def test_folders_of_another_kind_say_what_is_wanted(
    pictures: list[str], message: str, tmp_path: Path, portrait: np.ndarray
) -> None:
    (tmp_path / "sadness").mkdir()
    for name in pictures:
        put(tmp_path / name, portrait)
    with pytest.raises(InputError, match=message):
        load_faces(str(tmp_path))


@pytest.mark.parametrize("content", ["hello", ""])
def test_a_text_that_is_named_as_a_picture_is_named(content: str, tmp_path: Path, portrait: np.ndarray) -> None:
    put(tmp_path / "anger" / "a.jpg", portrait)
    (tmp_path / "anger" / "b.jpg").write_text(content)
    with pytest.raises(InputError, match=r"anger/b\.jpg cannot be decoded as a picture"):
        find_landmarks(load_faces(str(tmp_path)), progress=False)


def test_missing_data_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIEN_DATA", raising=False)
    with pytest.raises(InputError, match="MIEN_DATA"):
        data_root(None)
    with pytest.raises(InputError, match="does not exist"):
        data_root(tmp_path / "none")
    with pytest.raises(InputError, match="no data set 'rafdb/train'"):
        load_faces("rafdb/train", tmp_path)
    (tmp_path / "odd").mkdir()
    pq.write_table(pa.table({"picture": [1]}), tmp_path / "odd/train-00000-of-00001.parquet")
    with pytest.raises(InputError, match="has no column"):
        load_faces("odd/train", tmp_path)


@pytest.mark.parametrize("value", [None, 8, -2])
def test_an_expression_that_is_none_is_named(value: int | None, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    columns = {"image": [{"bytes": b"", "path": None}] * 2, "expression": pa.array([3, value], pa.int8())}
    pq.write_table(pa.table(columns), tmp_path / "odd/train-00000-of-00001.parquet")
    with pytest.raises(InputError, match=f"row 1 of odd/train has the expression {value}; it must be a number from 0"):
        load_faces("odd/train", tmp_path)


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path, portrait: np.ndarray) -> None:
    put(tmp_path / "anger" / "a.jpg", portrait)
    (tmp_path / "anger" / "a.jpg").rename(tmp_path / "anger" / os.fsdecode(b"caf\xe9.jpg"))
    with pytest.raises(InputError, match=r"caf\\xe9\.jpg: this name is not UTF-8; rename it"):
        load_faces(str(tmp_path))


def test_a_long_path_has_a_cache_file(tmp_path: Path, portrait: np.ndarray) -> None:
    folder = tmp_path / ("\u00e9" * 60) / ("b" * 120)
    put(folder / "anger" / "a.jpg", portrait)
    find_landmarks(faces := load_faces(str(folder)), progress=False)
    assert cache_file(faces, "v1", ".npz").is_file()
    assert file_stem("/home/me/rafdb") == "home-me-rafdb"


def test_landmarks_are_found_and_cached(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = load_faces("rafdb/test", data)
    first = find_landmarks(faces, progress=False)
    assert first.found.mean() > 0.9
    eyes = first.points[first.found][:, :2]
    assert (eyes[:, 0, 0] < eyes[:, 1, 0]).all()
    monkeypatch.setattr("mien_train.data.landmarks.load_detector", lambda **_: pytest.fail("detected twice"))
    np.testing.assert_array_equal(find_landmarks(faces, progress=False).box, first.box)


def test_holdout_depends_on_the_image_alone(data: Path) -> None:
    faces = load_faces("ferplus/train", data)
    held = holdout(faces, 0.3)
    assert 0.1 < held.mean() < 0.5
    order = np.random.default_rng(0).permutation(len(faces))
    np.testing.assert_array_equal(holdout(faces.subset(order), 0.3), held[order])


def test_repeats_are_found_through_recompression_but_not_across_pictures(portrait: np.ndarray, tmp_path: Path) -> None:
    import skimage.data

    others = [skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket()]
    for name, pictures, quality in (("neutral", [portrait, *others], 95), ("anger", [portrait, others[1]], 40)):
        (tmp_path / name).mkdir()
        for i, picture in enumerate(pictures):
            small = cv2.resize(picture, (100, 100), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(tmp_path / name / f"{i}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, quality])
    faces = load_faces(str(tmp_path))
    plain, again = faces.subset(faces.expression == 0), faces.subset(faces.expression == 6)
    assert repeats(difference_hashes(plain), difference_hashes(again), 24).tolist() == [True, False, True, False]


def test_draws_depend_on_seed_and_position_alone() -> None:
    weights = np.array([1.0, 0.0, 3.0])
    whole = list(SeededDraws(weights, 400, seed=5))
    assert list(SeededDraws(weights, 400, seed=5, start=150)) == whole[150:]
    assert list(SeededDraws(weights, 400, seed=6)) != whole
    rows = np.array([row for row, _ in whole])
    assert set(rows) == {0, 2}
    assert 0.65 < (rows == 2).mean() < 0.85


def test_balance_moves_draws_to_rare_classes_but_not_between_sets(data: Path) -> None:
    faces = load_faces("rafdb/train", data)
    rare = faces.subset(
        np.concatenate([np.flatnonzero(faces.expression == 0), np.flatnonzero(faces.expression == 1)[:2]])
    )
    item, small = prepare(faces, progress=False), prepare(rare, progress=False)
    training = TrainingFaces([item, small], CropSpec(32), AugmentRecipe(), 0.1)
    for balance in (0.0, 0.5, 1.0):
        weights = training.draw_weights(balance)
        assert weights[: len(faces)].sum() == pytest.approx(len(faces))
        share = weights[len(faces) :][rare.expression == 1].sum() / weights[len(faces) :].sum()
        assert share == pytest.approx({0.0: 0.2, 0.5: 1 / 3, 1.0: 0.5}[balance], abs=0.01)


def test_augmentation_repeats_by_seed_and_is_the_plain_crop_when_switched_off(portrait: np.ndarray) -> None:
    box = np.array([178, 63, 268, 176], np.float32)
    spec, strong = CropSpec(64), AugmentRecipe()
    off = AugmentRecipe(rotate=0, zoom=0, shift=0, colour=0, grey=0, degrade=0, occlude=0)

    def draw(recipe: AugmentRecipe, seed: int) -> np.ndarray:
        return augmented_crop(portrait, spec, box, None, recipe, np.random.default_rng(seed))

    np.testing.assert_array_equal(draw(strong, 3), draw(strong, 3))
    assert np.abs(draw(strong, 3).astype(int) - draw(strong, 4)).mean() > 3
    from mien.align import crop

    plain = crop(portrait, crop_matrix(spec, box, None), 64)
    flips = [np.abs(draw(off, seed).astype(int) - plain).max() > 2 for seed in range(20)]
    assert 4 < sum(flips) < 16
    mirrored = next(draw(off, seed) for seed in range(20) if flips[seed])
    assert np.abs(mirrored[:, ::-1].astype(int) - plain).mean() < 1.5
    for seed in range(60):
        patch = draw(strong, seed)
        assert patch.dtype == np.uint8
        assert patch.shape == (64, 64, 3)


def write_rated(root: Path, portrait: np.ndarray) -> None:
    """Six people, five pictures each: a compound, one with the emphasis on its first, a basic class, a foreign name and
    one that raters saw in two ways."""
    from tiny_data import face_jpeg

    names = ["fearfully surprised", "hatred", "happy", "anger", "surprise"]
    rows = [(person, name) for person in range(6) for name in names]
    columns = {
        "image": [{"bytes": face_jpeg(portrait, 1, i), "path": None} for i in range(len(rows))],
        "expression": pa.array([1 if name == "happy" else -1 for _, name in rows], pa.int8()),
        "votes": [[0, 60, 0, 20, 0, 0, 0, 0, 0, 0] if name == "surprise" else None for _, name in rows],
        "category": [name for _, name in rows],
        "person": pa.array([person for person, _ in rows], pa.int16()),
    }
    (root / "posed").mkdir()
    pq.write_table(pa.table(columns), root / "posed" / "train-00000-of-00001.parquet")


def test_compounds_and_votes_are_soft_labels_and_other_names_are_none(tmp_path: Path, portrait: np.ndarray) -> None:
    write_rated(tmp_path, portrait)
    faces = load_faces("posed/train", tmp_path)
    np.testing.assert_allclose(faces.soft[0], [0, 0, 0, 0.5, 0.5, 0, 0, 0])
    np.testing.assert_allclose(faces.soft[1], [0, 0, 0, 0, 0, 1 / 3, 2 / 3, 0], rtol=1e-6)
    assert np.isnan(faces.soft[2]).all()  # its class is enough
    assert np.isnan(faces.soft[3]).all()  # a set's own name for a class is no label
    np.testing.assert_allclose(faces.soft[4], [0, 0.75, 0, 0.25, 0, 0, 0, 0])


def test_whole_people_are_held_out(tmp_path: Path, portrait: np.ndarray) -> None:
    write_rated(tmp_path, portrait)
    faces = load_faces("posed/train", tmp_path)
    held = holdout(faces, 0.2)
    person = faces.people()
    assert person is not None
    assert set(person[held]).isdisjoint(person[~held])
    assert 0.2 <= held.mean() < 0.4
    order = np.random.default_rng(0).permutation(len(faces))
    np.testing.assert_array_equal(holdout(faces.subset(order), 0.2), held[order])


def test_a_set_is_drawn_by_its_share(data: Path) -> None:
    sets = [prepare(load_faces(name, data), progress=False) for name in ("rafdb/train", "ferplus/train")]
    weights = TrainingFaces(sets, CropSpec(32), AugmentRecipe(), 0.1, shares=[3.0, 0.5]).draw_weights(0.3)
    assert weights[:56].sum() == pytest.approx(3 * 56)
    assert weights[56:].sum() == pytest.approx(0.5 * 64)


@pytest.mark.parametrize("entry", ["rafdb/train*", "rafdb/train*x", "*3", "rafdb/train*0", "rafdb/train*-1", "a*nan"])
def test_a_share_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(InputError, match="draw it 3 times as often"):
        _ = DataRecipe(train=(entry,)).shares


def test_only_a_single_annotators_label_is_doubted(data: Path) -> None:
    sets = [prepare(load_faces(name, data), progress=False) for name in ("rafdb/train", "ferplus/train")]
    taught = []
    for item in sets:
        logits = np.zeros((len(item.faces), 8), np.float32)
        logits[:, 2] = 5.0  # sure of sadness
        logits[0] = np.nan  # not seen
        taught.append(Taught(logits, logits[:, :2], logits[:, :0]))
    training = TrainingFaces(sets, CropSpec(32), AugmentRecipe(), 0.1, taught, doubt=0.1)
    left = ~np.isnan(training.targets[0][:, 0])
    assert left.tolist() == [i == 0 or label == 2 for i, label in enumerate(sets[0].faces.expression)]
    assert not np.isnan(training.targets[1]).any()
