"""EmoNet against what is published: its names, shapes and size, and a golden output."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny_emonet as known
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor

from mien.align import CropSpec
from mien.errors import InputError, ModelInvalid
from mien.types import EXPRESSIONS
from mien_train.models.emonet import EMONET_5, EMONET_8, EmoNet
from mien_train.teachers import load_teacher
from mien_train.teachers.networks import EmoNetSpec, EmoNetTeacher

# Of the lines "name [shape]" of the published checkpoint's state dict, sorted and joined by line feeds.
PUBLISHED = "6435af884301484bd84883d0e10f45bc9688d53f5287883d7a25b22976393753"


@pytest.fixture(scope="module")
def golden() -> EmoNet:
    network = EmoNet(8).eval()
    network.load_state_dict(known.golden_state())
    return network


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return known.golden_picture()


@torch.inference_mode()
def test_golden_output(golden: EmoNet, picture: Tensor) -> None:
    answer = golden(picture)
    np.testing.assert_allclose(answer["expression"][0], known.EXPRESSION, atol=1e-3)
    assert answer["valence"].item() == pytest.approx(known.VALENCE, abs=1e-3)
    assert answer["arousal"].item() == pytest.approx(known.AROUSAL, abs=1e-3)
    assert answer["heatmap"].shape == (1, 68, 64, 64)
    assert answer["heatmap"].mean().item() == pytest.approx(known.HEATMAP_MEAN, abs=1e-3)
    assert answer["embedding"].shape == (1, 256)


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        state = EmoNet(8).state_dict()
    assert len(state) == 682
    text = "\n".join(sorted(f"{name} {list(value.shape)}" for name, value in state.items()))
    assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED


def test_size_is_the_published_one(golden: EmoNet, picture: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted = FlopCountAnalysis(golden, picture).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        assert counted.total() == pytest.approx(16.9e9, rel=0.02)


def test_a_checkpoint_of_five_classes_teaches_five(picture: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = EmoNet(5).eval()
    # As saved from DataParallel.
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, tmp_path / "emonet_5.pth")
    written = tmp_path / "five.toml"
    classes = ", ".join(f'"{name}"' for name in EMONET_5)
    written.write_text(f'kind = "emonet"\nweights = "emonet_5.pth"\nclasses = [{classes}]\n')
    teacher = load_teacher(written)
    crops = (picture * 255).round().byte().permute(0, 2, 3, 1)
    made = teacher(crops, teacher.crop)
    with torch.inference_mode():
        expected = network(crops.permute(0, 3, 1, 2) / 255)
    columns = [EXPRESSIONS.index(name) for name in EMONET_5]
    torch.testing.assert_close(made.logits[:, columns], expected["expression"])
    assert made.logits.isnan().sum() == 3
    torch.testing.assert_close(made.affect[0, 0], expected["valence"][0].clamp(-1, 1))
    torch.testing.assert_close(made.affect[0, 1], expected["arousal"][0].clamp(-1, 1))
    torch.testing.assert_close(made.embedding, expected["embedding"])

    other_last = EmoNetSpec(str(tmp_path / "emonet_5.pth"), (*EMONET_5[:4], "anger"))
    assert EmoNetTeacher(other_last).identity != teacher.identity
    with pytest.raises(InputError, match="has 5 classes, the teacher's file names 8; set classes"):
        EmoNetTeacher(EmoNetSpec(str(tmp_path / "emonet_5.pth"), EMONET_8))


def test_what_is_not_emonet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "emonet_8.pth"
    with pytest.raises(InputError, match=r"no EmoNet checkpoint at .*emonet_8\.pth"):
        EmoNetTeacher(EmoNetSpec(str(path)))
    with pytest.raises(InputError, match="sees 256 px, not 112"):
        EmoNetTeacher(EmoNetSpec(str(path), crop=CropSpec(112)))
    path.write_text("no checkpoint")
    with pytest.raises(ModelInvalid, match="is not a checkpoint of EmoNet"):
        EmoNetTeacher(EmoNetSpec(str(path)))
    with torch.device("meta"):
        state = {name: torch.zeros(value.shape).half() for name, value in EmoNet(8).state_dict().items()}
    torch.save({name: value for name, value in state.items() if name != "bl0.bias"}, path)
    with pytest.raises(ModelInvalid, match=r"bl0\.bias"):
        EmoNetTeacher(EmoNetSpec(str(path)))


def test_names_of_no_class_are_refused() -> None:
    with pytest.raises(InputError, match="joy"):
        EmoNetSpec("emonet_5.pth", classes=(*EMONET_5[:4], "joy"))
