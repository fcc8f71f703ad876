import cv2
import numpy as np
import pytest

from mien.vision.detector import decode, load_detector, pad_to_stride, suppress


def test_finds_the_astronaut_at_every_size(portrait: np.ndarray) -> None:
    """Boxes agree in the picture's own px from 100 px to 2,000 px."""
    detector = load_detector()
    reference = detector.detect(portrait)
    assert len(reference) == 1
    for side in (160, 256, 1000, 2000):
        image = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
        found = detector.detect(image)
        assert len(found) == 1, side
        np.testing.assert_allclose(found[0].box * 512 / side, reference[0].box, atol=12)
    eyes_nose = reference[0].landmarks
    assert eyes_nose is not None
    assert eyes_nose[0, 0] < eyes_nose[2, 0] < eyes_nose[1, 0]


def test_agrees_with_opencv(portrait: np.ndarray) -> None:
    """What cv2.FaceDetectorYN of OpenCV 5.0 gives for the same picture and the original ONNX file."""
    found = load_detector().detect(portrait)[0]
    np.testing.assert_allclose(found.box, [178.16728, 62.90826, 268.06679, 176.24065], atol=0.01)
    eyes_nose_mouth = [
        [200.11598, 101.81963],
        [247.13364, 102.61931],
        [220.36716, 124.5445],
        [198.61288, 142.77434],
        [239.66765, 143.63808],
    ]
    assert found.landmarks is not None
    np.testing.assert_allclose(found.landmarks, eyes_nose_mouth, atol=0.01)
    assert found.score == pytest.approx(0.93232733, abs=1e-4)


def test_min_face_leaves_small_faces_out(portrait: np.ndarray) -> None:
    assert load_detector(min_face=60).detect(portrait)
    assert not load_detector(min_face=200).detect(portrait)


def test_several_faces_come_largest_first(portrait: np.ndarray) -> None:
    half = cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA)
    scene = np.zeros((512, 768, 3), np.uint8)
    scene[:256, :256] = half
    scene[:, 256:] = portrait
    found = load_detector().detect(scene)
    assert len(found) == 2
    assert found[0].box[0] > 256 > found[1].box[2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (17, 33), (31, 641), (720, 1280)])
def test_odd_pictures_without_a_face(shape: tuple[int, int]) -> None:
    assert load_detector().detect(np.full((*shape, 3), 127, np.uint8)) == []


def test_decode_puts_cells_where_they_are() -> None:
    width, height = 64, 32
    outputs = {}
    for stride in (8, 16, 32):
        cells = (width // stride) * (height // stride)
        outputs |= {
            f"{k}_{stride}": np.zeros((1, cells, n), np.float32)
            for k, n in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        }
    cell = 2 * (width // 8) + 5  # third row, sixth column of the finest grid
    outputs["cls_8"][0, cell] = outputs["obj_8"][0, cell] = 0.81
    boxes, landmarks, scores = decode(outputs, width, 0.5)
    np.testing.assert_allclose(boxes, [[36, 12, 44, 20]])
    np.testing.assert_allclose(landmarks, np.tile([40, 16], (1, 5, 1)))
    np.testing.assert_allclose(scores, [0.81], rtol=1e-6)


def test_suppress_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 0, 30, 10], [0, 0, 10, 10]], np.float32)
    kept = suppress(boxes, np.array([0.7, 0.9, 0.8, 0.6], np.float32))
    assert kept.tolist() == [1, 2]
    assert suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)).size == 0


def test_padding_reaches_whole_strides_and_nothing_more() -> None:
    assert pad_to_stride(np.ones((33, 64, 3), np.uint8)).shape == (64, 64, 3)
    image = np.ones((32, 64, 3), np.uint8)
    assert pad_to_stride(image) is image


@pytest.mark.parametrize(("gain", "offset"), [(0.05, 0), (0.1, 0), (0.1, 200), (0.08, 110)])
def test_finds_a_face_in_dim_light_and_in_fog(portrait: np.ndarray, gain: float, offset: int) -> None:
    detector = load_detector()
    faint = np.clip(portrait * gain + offset, 0, 255).astype(np.uint8)
    (clear,) = detector.detect(portrait)
    (found,) = detector.detect(faint)
    np.testing.assert_allclose(found.box, clear.box, atol=8)
    (near,) = detector.detect_near(faint, [clear.box])
    np.testing.assert_allclose(near.box, clear.box, atol=8)


@pytest.mark.parametrize("shade", [0, 3, 128, 255])
def test_finds_nothing_in_a_blank_picture_or_faint_noise(shade: int) -> None:
    random, detector = np.random.default_rng(0), load_detector()
    assert detector.detect(np.full((360, 640, 3), shade, np.uint8)) == []
    noise = np.clip(random.normal(shade, 3, (360, 640, 3)), 0, 255).astype(np.uint8)
    assert detector.detect(noise) == []
