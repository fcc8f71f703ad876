"""Packages that mien needs: which are installed, whether OpenCV is complete, and what to run if it is not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from mien.errors import LibraryBroken

OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
ONNXRUNTIME = (
    "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-migraphx",
    "onnxruntime-rocm",
)  # fmt: skip
CUDA = ("cuda-bindings", "pycuda")
"""Packages that give TensorRT the GPU's memory; the first that is installed does."""
REMEDIES = {
    OPENCV: "pip install opencv-python-headless (or opencv-python, for windows on a screen)",
    ONNXRUNTIME: 'pip install "mien[cpu]" (or "mien[gpu]")',
}
"""Packages of which only one may be installed, and what to run once all of them are removed."""
NEEDED = ("__version__", "imdecode", "resize", "VideoCapture", "VideoWriter", "videoio_registry", "setNumThreads")
"""Some names that every complete OpenCV has."""


def installed(packages: Sequence[str]) -> list[str]:
    """The names of ``packages`` that are installed, each followed by its version."""
    found = []
    for name in packages:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def clashes() -> list[str]:
    """Messages about packages that are installed side by side although they provide the same module."""
    wrong = []
    for packages, remedy in REMEDIES.items():
        names = [found.split()[0] for found in installed(packages)]
        if len(names) > 1:
            wrong.append(
                f"{' and '.join(names)} are installed, but they provide the same module and overwrite each other; "
                f"run: pip uninstall -y {' '.join(names)} && {remedy}"
            )
    return wrong


def windows_remedy() -> str:
    """What to run for an OpenCV with windows, given the one that is installed."""
    names = " ".join(found.split()[0] for found in installed(OPENCV))
    return (f"pip uninstall -y {names} && " if names else "") + "pip install opencv-python"


def broken(name: str, why: str) -> str:
    """The message about the module ``name``, which is installed but does not work, because of ``why``."""
    remedy = f'pip install --force-reinstall "mien[{name}]"'
    for module, packages in (("cv2", OPENCV), ("onnxruntime", ONNXRUNTIME)):
        if name == module:  # often what remains after one of two packages was uninstalled
            names = " ".join(package.split()[0] for package in installed(packages))
            remedy = (f"pip uninstall -y {names} && " if names else "") + REMEDIES[packages]
    return f"{name} is installed, but does not work ({why}); run: {remedy}"


def check_numpy() -> None:
    """Raise LibraryBroken, with the remedy, if numpy is missing or incomplete: OpenCV and all engines need it."""
    try:
        getattr(import_module("numpy"), "ndarray")  # noqa: B009
    except Exception as error:
        message = str(error).strip() or "no details are known"
        why = f"{type(error).__name__}: {message.splitlines()[0]}"
        raise LibraryBroken(f"numpy does not work ({why}); run: pip install --force-reinstall numpy") from error


def check_opencv() -> None:
    """Raise LibraryBroken, with the remedy, if OpenCV (or numpy) is missing or incomplete."""
    check_numpy()
    try:
        module = import_module("cv2")
    except ModuleNotFoundError as error:
        if error.name == "cv2":
            raise LibraryBroken(f"OpenCV (the module cv2) is not installed; run: {REMEDIES[OPENCV]}") from error
        raise LibraryBroken(broken("cv2", str(error))) from error
    except Exception as error:  # an incomplete package may raise anything
        raise LibraryBroken(broken("cv2", f"{type(error).__name__}: {error}")) from error
    missing = [name for name in NEEDED if not hasattr(module, name)]
    if missing:
        raise LibraryBroken(broken("cv2", f"it has no {missing[0]}"))
