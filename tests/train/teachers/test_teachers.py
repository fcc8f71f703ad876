"""Teachers: recropping, checkpoints, bundles, ensembles. ONNX files are in test_onnx_teachers.py."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_bundle import write_tiny_bundle
from tiny_teacher import write_checkpoint
from torch import Tensor

from mien import Recognizer
from mien.align import CropSpec, crop, crop_matrix
from mien.errors import InputError, ModelNotFound
from mien.types import EXPRESSIONS
from mien_train.models.checkpoints import load_student
from mien_train.recipe import recipes_folder
from mien_train.settings import build, read_toml
from mien_train.teachers import SPECS, load_teacher
from mien_train.teachers.base import TeacherOutput, known_log_softmax, recrop
from mien_train.teachers.ensemble import Ensemble

NAN = float("nan")
PACKAGED = sorted((recipes_folder() / "teachers").glob("*.toml"))


@pytest.fixture(scope="module")
def ramp() -> np.ndarray:
    """uint8 BGR: two levels a pixel to the right in blue and downward in green, waves in red."""
    y, x = np.mgrid[:240, :240]
    waves = 128 + 100 * np.sin(x / 9) * np.cos(y / 11)
    return np.stack([2 * x - 96, 2 * y - 116, waves], axis=2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "scale"),
    [(112, 1.2), (48, 1.2), (160, 1.2), (112, 0.9), (64, 0.8)],
    ids=["same", "smaller", "larger", "closer", "closer and smaller"],
)
def test_recrop_is_the_crop_that_align_would_cut(ramp: np.ndarray, size: int, scale: float) -> None:
    box = np.array([60.0, 70.0, 160.0, 170.0], np.float32)
    seen, wanted = CropSpec(112, "box", 1.2), CropSpec(size, "box", scale)
    given, expected = (crop(ramp, crop_matrix(spec, box, None), spec.size) for spec in (seen, wanted))
    made = recrop(torch.from_numpy(given)[None], seen, wanted)
    assert made.shape == (1, 3, size, size)
    error = made[0].permute(1, 2, 0).numpy() - expected.astype(np.float32)
    if seen == wanted:
        assert np.abs(error).max() == 0
    error = error[4:-4, 4:-4]  # away from the border, which only one of the two can see beyond
    # Half a pixel of shift, or a whole one of stretch, would be a level in the ramps and more.
    assert np.abs(error[..., 1:].mean((0, 1))).max() < 0.2
    for ramped in (error[..., 2].mean(0), error[..., 1].mean(1)):
        assert abs(np.polyfit(np.arange(len(error)), ramped, 1)[0] * size) < 0.6
    assert np.abs(error).mean() < 1.5


def test_recrop_repeats_the_border_where_it_sees_more(ramp: np.ndarray) -> None:
    box = np.array([60.0, 70.0, 160.0, 170.0], np.float32)
    seen, wanted = CropSpec(90, "box", 0.9), CropSpec(100, "box", 1.25)
    given = torch.from_numpy(crop(ramp, crop_matrix(seen, box, None), seen.size))[None]
    made = recrop(given, seen, wanted)[0].numpy()
    expected = crop(ramp, crop_matrix(wanted, box, None), wanted.size).transpose(2, 0, 1)
    inside = slice(16, 84)  # 0.9 of 1.25
    assert np.abs(made[:, inside, inside] - expected[:, inside, inside]).mean() < 1.5
    assert np.abs(made[2, 50, :13] - float(given[0, 45, 0, 2])).max() < 1  # beyond: the border's value
    assert np.ptp(expected[2, 50, :13]) > 10


def test_a_checkpoint_teaches_its_calibrated_logits(portrait: np.ndarray, tmp_path: Path) -> None:
    own, wider = CropSpec(96, "box", 1.0), CropSpec(128, "box", 1.25)
    boxes = np.array([178, 63, 268, 176], np.float32) + np.array([[0], [9], [60]], np.float32)
    path = write_checkpoint(tmp_path / "a.pt", own)
    teacher, (student, _, _) = load_teacher(path), load_student(path)
    assert teacher.crop == own

    def cut(spec: CropSpec) -> torch.Tensor:
        return torch.from_numpy(np.stack([crop(portrait, crop_matrix(spec, box, None), spec.size) for box in boxes]))

    made, output = teacher(cut(own), own), student(cut(own))
    torch.testing.assert_close(made.logits, output.logits / output.temperature)
    assert (output.temperature - 1).abs().min() > 0.1
    torch.testing.assert_close(made.affect, output.affect.clamp(-1, 1))
    torch.testing.assert_close(made.embedding, output.embedding)

    its_own = recrop(cut(wider), wider, own).round().byte().permute(0, 2, 3, 1)
    torch.testing.assert_close(teacher(cut(wider), wider).logits, teacher(its_own, own).logits)
    without = load_teacher(write_checkpoint(tmp_path / "b.pt", own, affect=""))
    assert without(cut(own), own).affect.isnan().all()


def test_a_bundle_teaches_what_the_runtime_says(tiny_bundle: Path, portrait: np.ndarray) -> None:
    (face,) = Recognizer(tiny_bundle).predict(portrait)
    teacher = load_teacher(tiny_bundle)
    patch = crop(portrait, crop_matrix(teacher.crop, face.box, face.landmarks), teacher.crop.size)
    made = teacher(torch.from_numpy(patch)[None], teacher.crop)
    said = [face.expression.probabilities[name] for name in EXPRESSIONS]
    np.testing.assert_allclose(made.logits.softmax(1)[0], said, atol=1e-5)
    np.testing.assert_allclose(made.affect[0], [face.affect.valence, face.affect.arousal], atol=1e-5)
    assert made.embedding is not None
    assert made.embedding.shape == (1, 16)
    half = cv2.resize(patch, (56, 56), interpolation=cv2.INTER_AREA)
    smaller = teacher(torch.from_numpy(half)[None], replace(teacher.crop, size=56))
    np.testing.assert_allclose(smaller.logits.softmax(1)[0], said, atol=0.02)


def test_a_bundle_whose_affect_was_never_trained_teaches_none(tmp_path: Path) -> None:
    """Its zeros are no truth."""
    teacher = load_teacher(write_tiny_bundle(tmp_path / "bundle", affect=False))
    made = teacher(torch.zeros((2, 112, 112, 3), dtype=torch.uint8), teacher.crop)
    assert made.affect.isnan().all()
    assert not made.logits.isnan().any()


@dataclass
class Fixed:
    """Says ``logits`` of any crop, and ``affect``; brighter left halves get ``lean`` more of class 1."""

    logits: list[float]
    affect: tuple[float, float] = (NAN, NAN)
    lean: float = 0.0
    crop: CropSpec = field(default_factory=lambda: CropSpec(32))
    name: str = "fixed"
    identity: str = "fixed"

    def __call__(self, crops: Tensor, spec: CropSpec) -> TeacherOutput:
        side = crops.shape[2] // 2
        left = crops[:, :, :side].float().mean((1, 2, 3)) > crops[:, :, side:].float().mean((1, 2, 3))
        logits = torch.tensor(self.logits).repeat(len(crops), 1)
        logits[:, 1] += self.lean * left
        return TeacherOutput(logits, torch.tensor([self.affect]).expand(len(crops), 2), crops.float().mean((1, 2)))


GREY = torch.zeros((2, 32, 32, 3), dtype=torch.uint8)


def test_an_ensemble_is_the_weighted_geometric_mean() -> None:
    first, second = [2.0, 0, 1, 0, 0, 0, 0, -3], [0.0, 5, 0, 0, 1, 0, 0, 0]
    ensemble = Ensemble([Fixed(first, (0.2, 0.8)), Fixed(second, (0.8, NAN))], (1.0, 3.0), flip=False)
    made = ensemble(GREY, ensemble.crop)
    p, q = (torch.tensor(part).softmax(0) for part in (first, second))
    expected = p**0.25 * q**0.75
    torch.testing.assert_close(made.logits.softmax(1)[1], expected / expected.sum())
    torch.testing.assert_close(made.affect[0], torch.tensor([0.25 * 0.2 + 0.75 * 0.8, 0.8]))
    assert made.embedding is None
    assert Ensemble([Fixed(first)])(GREY, ensemble.crop).affect.isnan().all()


def test_a_member_has_no_say_in_classes_that_it_does_not_know() -> None:
    five, eight = Fixed([1.0, 2, 0, 0, 1, NAN, NAN, NAN]), Fixed([0.0, 0, 1, 0, 0, 2, NAN, 1])
    made = Ensemble([five, eight], flip=False)(GREY, CropSpec(32)).logits[0]
    logs = [known_log_softmax(torch.tensor([part.logits]))[0] for part in (five, eight)]
    assert logs[0][:5].exp().sum().item() == pytest.approx(1)
    torch.testing.assert_close(made[:5], (logs[0] + logs[1])[:5] / 2)
    torch.testing.assert_close(made[[5, 7]], logs[1][[5, 7]])
    assert made[6].isnan()


def test_an_ensemble_sees_the_mirror_too() -> None:
    lit = GREY.clone()
    lit[0, :, :16], lit[1, :, 16:] = 200, 200  # one lit from the left, one from the right
    one_sided = Fixed([0.0] * 8, lean=4.0)
    plain = Ensemble([one_sided], flip=False)(lit, CropSpec(32)).logits.softmax(1)[:, 1]
    both = Ensemble([one_sided], flip=True)(lit, CropSpec(32)).logits
    assert plain[0] > 5 * plain[1]
    torch.testing.assert_close(both[0], both[1])
    torch.testing.assert_close(both[0, 1] - both[0, 0], torch.tensor(2.0))


def test_an_ensemble_asks_for_the_largest_crop_and_refuses_odd_weights() -> None:
    near, far = Fixed([0.0] * 8, crop=CropSpec(96, "landmarks", 0.9)), Fixed([0.0] * 8, crop=CropSpec(64, "box", 1.2))
    assert Ensemble([near, far]).crop == CropSpec(96, "landmarks", 1.2)
    for weights in ((1.0,), (1.0, 0.0), (1.0, -1.0)):
        with pytest.raises(InputError, match="as many weights above 0"):
            Ensemble([near, far], weights)
    with pytest.raises(InputError, match="one or more members"):
        Ensemble([])


def test_ensemble_of_a_file_finds_its_members_beside_it(tiny_bundle: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "runs/a/student.pt", CropSpec(32))
    shutil.copytree(tiny_bundle, tmp_path / "runs/b")
    written = tmp_path / "runs/both.toml"
    written.write_text('kind = "ensemble"\nmembers = ["a/student.pt", "b"]\nweights = [1, 2]\nflip = false\n')
    teacher = load_teacher(written)
    assert isinstance(teacher, Ensemble)
    assert teacher.weights == (1.0, 2.0)
    crops = torch.randint(0, 256, (3, 112, 112, 3), dtype=torch.uint8)
    logs = [
        known_log_softmax(m(crops, teacher.crop).logits)
        for m in map(load_teacher, (written.parent / "a/student.pt", written.parent / "b"))
    ]
    torch.testing.assert_close(teacher(crops, teacher.crop).logits, (logs[0] + 2 * logs[1]) / 3)


def test_a_member_may_be_a_packaged_bundle(tmp_path: Path) -> None:
    written = tmp_path / "teacher.toml"
    written.write_text('kind = "ensemble"\nmembers = ["default"]\n')
    teacher = load_teacher(written)
    assert isinstance(teacher, Ensemble)
    assert teacher.members[0].identity == load_teacher("default").identity


def test_identity_follows_whatever_changes_the_answers(tmp_path: Path) -> None:
    spec = CropSpec(32)
    first = load_teacher(write_checkpoint(tmp_path / "a.pt", spec))
    assert load_teacher(shutil.copy(tmp_path / "a.pt", tmp_path / "copy.pt")).identity == first.identity
    second = load_teacher(write_checkpoint(tmp_path / "b.pt", spec, seed=1))
    third = load_teacher(write_checkpoint(tmp_path / "c.pt", CropSpec(32, scale=1.1)))
    ensembles = [
        Ensemble([first, second]), Ensemble([second, first]), Ensemble([first, second], flip=False),
        Ensemble([first, second], (1.0, 2.0)), Ensemble([first, third]),
    ]  # fmt: skip
    every = [teacher.identity for teacher in (first, second, third, *ensembles)]
    assert len(set(every)) == len(every)
    assert Ensemble([first, second]).identity == ensembles[0].identity


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_packaged_teachers_read_and_ask_for_their_weights_beside_them(path: Path, tmp_path: Path) -> None:
    values = read_toml(path, "teacher")
    spec = build(SPECS[values.pop("kind")], values)
    needed = getattr(spec, "model", None) or getattr(spec, "members", None) or spec.weights
    wanted = tmp_path / (needed if isinstance(needed, str) else needed[0])
    copied = shutil.copy(path, tmp_path)
    with pytest.raises((InputError, ModelNotFound), match=str(wanted)):
        load_teacher(copied)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("net.onnx", "", "describe it in a TOML file"),
        ("net.pth", "", "describe it in a TOML file"),
        ("folder/notes.txt", "", "is not a teacher"),
        ("none.pt", None, "no checkpoint"),
        ("none.toml", None, "no teacher at"),
        ("none", None, "no model"),
        ("a.toml", "weights = 'x.pth'", "kind must be one of emonet, onnx, ensemble; not None"),
        ("a.toml", "kind = 'keras'", "not 'keras'"),
        ("a.toml", "kind = ['emonet']", r"not \['emonet'\]"),
        ("a.toml", "kind = 'ensemble'\nmembers = ['a.toml']", "which it is a part of; remove that member"),
        ("a.toml", "kind = ", "cannot read teacher"),
        ("a.toml", "kind = 'emonet'\nweights = 'x.pth'\ncolor = 1", "a.toml: .*unknown key color"),
        ("a.toml", "kind = 'emonet'", "incomplete"),
        ("a.toml", "kind = 'ensemble'\nmembers = 'x.pt'", "list of strings"),
        ("a.toml", "kind = 'ensemble'\nmembers = ['x.pt']\nweights = ['much']", "list of numbers"),
        ("a.toml", "kind = 'ensemble'\nmembers = []", "one or more members"),
    ],
)
def test_what_is_no_teacher_is_refused_with_a_hint(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with pytest.raises((InputError, ModelNotFound), match=message):
        load_teacher(path.parent if name == "folder/notes.txt" else path)
