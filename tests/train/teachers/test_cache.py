"""Teacher outputs on disk: the same images get the same outputs, and nothing else is taken for them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_teacher import write_checkpoint

from mien.align import CropSpec
from mien.errors import InputError
from mien_train.data.batches import Faces, TrainingFaces
from mien_train.data.sets import load_with_landmarks
from mien_train.evaluation.predict import predict_teacher
from mien_train.recipe import AugmentRecipe
from mien_train.teachers import load_teacher
from mien_train.teachers.base import Teacher
from mien_train.teachers.cache import cache_file, read_cache, write_cache
from mien_train.teachers.ensemble import Ensemble

CROP = CropSpec(32, "landmarks", 0.9)


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    return load_teacher(write_checkpoint(tmp_path / "teacher.pt", CROP))


@pytest.fixture
def item(data: Path) -> Faces:
    return load_with_landmarks("rafdb/test", data)


def test_outputs_come_back_in_any_order_and_for_a_part(teacher: Teacher, item: Faces, tmp_path: Path) -> None:
    path = write_cache(teacher, item, tmp_path / "cache")
    assert list(path.parent.iterdir()) == [path]
    said = predict_teacher(teacher, item)
    order = np.random.default_rng(0).permutation(len(item.faces))
    for rows in (np.arange(len(order)), order, order[:7]):
        taught = read_cache(teacher, item.faces.subset(rows), path.parent)
        np.testing.assert_array_equal(taught.logits, said.logits[rows])
        np.testing.assert_array_equal(taught.affect, said.predicted_affect[rows])
        np.testing.assert_allclose(taught.embedding, said.embedding[rows], rtol=1e-3, atol=1e-4)  # kept as float16
    assert np.abs(said.logits - said.logits[::-1]).mean() > 0.05  # so a wrong order would show


def test_training_draws_each_face_with_its_own_outputs(teacher: Teacher, item: Faces, tmp_path: Path) -> None:
    write_cache(teacher, item, tmp_path)
    chosen = [item.subset(np.arange(3, 9)), item.subset(np.arange(5))]
    taught = [read_cache(teacher, part.faces, tmp_path) for part in chosen]
    training = TrainingFaces(chosen, CROP, AugmentRecipe(), 0.1, taught)
    said = predict_teacher(teacher, item)
    for row, image in ((0, 3), (5, 8), (6, 0), (10, 4)):
        sample = training[row, 1]
        np.testing.assert_array_equal(sample.taught_logits, said.logits[image])
        np.testing.assert_array_equal(sample.taught_affect, said.predicted_affect[image])


def test_unknown_classes_and_missing_embeddings_survive(teacher: Teacher, item: Faces, tmp_path: Path) -> None:
    """An ensemble has no embedding; classes and affect that nobody knows are NaN."""

    class Partly(Ensemble):
        def __call__(self, crops, spec):  # type: ignore[no-untyped-def]
            made = super().__call__(crops, spec)
            made.logits[:, 5] = made.affect[:] = np.nan
            return made

    partly = Partly([teacher])
    write_cache(partly, item, tmp_path)
    taught = read_cache(partly, item.faces, tmp_path)
    assert np.isnan(taught.logits).sum(0).tolist() == [0, 0, 0, 0, 0, len(item.faces), 0, 0]
    assert np.isnan(taught.affect).all()
    assert taught.embedding.shape == (len(item.faces), 0)


def test_a_second_call_computes_nothing(
    teacher: Teacher, item: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_cache(teacher, item, tmp_path)
    before = path.stat().st_mtime_ns
    monkeypatch.setattr("mien_train.teachers.cache.teacher_outputs", lambda *_, **__: pytest.fail("computed twice"))
    assert write_cache(teacher, item, tmp_path) == path
    assert path.stat().st_mtime_ns == before


def test_mixed_precision_says_nearly_the_same(teacher: Teacher, item: Faces, tmp_path: Path) -> None:
    write_cache(teacher, item, tmp_path, "bf16")
    made, exact = read_cache(teacher, item.faces, tmp_path).logits, predict_teacher(teacher, item).logits
    assert 0 < np.abs(made - exact).mean() < 0.1 * exact.std()


def test_a_killed_call_leaves_nothing_that_could_be_read(
    teacher: Teacher, item: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(table: object, path: Path, **_: object) -> None:
        path.write_bytes(b"PAR1")
        raise KeyboardInterrupt

    monkeypatch.setattr("mien_train.teachers.cache.pq.write_table", dies)
    with pytest.raises(KeyboardInterrupt):
        write_cache(teacher, item, tmp_path)
    with pytest.raises(InputError, match="holds no outputs for rafdb/test"):
        read_cache(teacher, item.faces, tmp_path)


def test_nothing_else_is_taken_for_a_teachers_outputs(teacher: Teacher, item: Faces, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with pytest.raises(InputError, match=r"holds no outputs for rafdb/test.*fer-train cache TEACHER rafdb/test -o"):
        read_cache(teacher, item.faces, folder)
    path = write_cache(teacher, item.subset(np.arange(4, len(item.faces))), folder)
    with pytest.raises(InputError, match=f"lacks 4 of the {len(item.faces)} images"):
        read_cache(teacher, item.faces, folder)

    others = [("other.pt", CROP, 1), ("closer.pt", replace(CROP, scale=0.8), 0)]
    for name, crop, seed in others:
        other = load_teacher(write_checkpoint(tmp_path / name, crop, seed))
        with pytest.raises(InputError, match=f"only of other teachers or crops .*{path.name}"):
            read_cache(other, item.faces, folder)
        path.rename(cache_file(folder, item.faces.name, other))  # a file under a wrong name
        with pytest.raises(InputError, match="made by another teacher, or from another crop"):
            read_cache(other, item.faces, folder)
        cache_file(folder, item.faces.name, other).rename(path)
    moved = load_teacher(tmp_path / "teacher.pt")
    moved.crop = replace(CROP, size=48)
    with pytest.raises(InputError, match="from another crop"):
        read_cache(moved, item.faces, folder)
