"""Cut-outs that are kept on disk give the crops of the whole pictures."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.align import CropSpec, crop, crop_matrix
from mien_train.data.datasets import load_faces
from mien_train.data.landmarks import Landmarks, decode_image, find_landmarks
from mien_train.data.pixels import LARGE, cut_pixels
from mien_train.data.sets import prepare

SPEC = CropSpec(112, "landmarks", 0.9)


@pytest.fixture
def pictures(tmp_path: Path, portrait: np.ndarray) -> Path:
    """The portrait as it is, and enlarged so that its face of 100 px becomes one of 600."""
    (tmp_path / "faces" / "happiness").mkdir(parents=True)
    for name, factor in (("small", 1), ("large", 6)):
        picture = cv2.resize(portrait, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / "faces" / "happiness" / f"{name}.png"), picture)
    return tmp_path / "faces"


def test_a_crop_of_a_cut_out_is_the_crop_of_the_picture(pictures: Path) -> None:
    item = prepare(load_faces(str(pictures)), progress=False)
    for i in range(2):
        whole = decode_image(item.faces.encoded(i))
        plain = crop(whole, crop_matrix(SPEC, *item.landmarks.at(i)), SPEC.size)
        kept = item.pixels.picture(i)
        assert kept.size < whole.size / 2
        difference = np.abs(item.crop(i, SPEC).astype(int) - plain)
        if whole.shape[0] < 1000:  # a rectangle of the picture
            assert difference.max() <= 1  # OpenCV rounds the place of a sample
        else:  # averaged down, as the crop itself would be
            assert max(kept.shape) < 5 * LARGE
            assert difference.mean() < 1.5


def test_a_second_call_opens_what_the_first_wrote(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(load_faces(str(pictures)), progress=False)
    monkeypatch.setattr("mien_train.data.pixels.decode_image", lambda _: pytest.fail("decoded twice"))
    again = prepare(load_faces(str(pictures)), progress=False)
    np.testing.assert_array_equal(again.crop(1, SPEC), first.crop(1, SPEC))


def test_a_loaders_worker_is_sent_the_path_and_not_the_pixels(data: Path) -> None:
    item = prepare(load_faces("rafdb/test", data), progress=False)
    sent = pickle.dumps(item.pixels)
    assert len(sent) < item.pixels.path.stat().st_size / 10
    np.testing.assert_array_equal(pickle.loads(sent).picture(3), item.pixels.picture(3))


def test_a_face_at_the_border_or_larger_than_its_picture_is_cut_within_it(data: Path) -> None:
    faces = load_faces("rafdb/test", data)
    marks = find_landmarks(faces, progress=False)
    box = marks.box + np.array([-40, -40, 200, 200], np.float32)
    pixels = cut_pixels(faces.subset(np.arange(2)), Landmarks(box[:2], marks.points[:2], marks.found[:2] & False))
    assert pixels.picture(0).shape == (64, 64, 3)
