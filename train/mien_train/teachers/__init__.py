"""Teachers: networks that a student can be distilled from. ``load_teacher`` opens one by its path."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from mien.bundle import packaged_names
from mien.bundle.card import CARD
from mien.errors import InputError
from mien_train.settings import build, read_toml
from mien_train.teachers.base import Teacher, TeacherOutput
from mien_train.teachers.ensemble import Ensemble, EnsembleSpec
from mien_train.teachers.networks import CheckpointTeacher, EmoNetSpec, EmoNetTeacher
from mien_train.teachers.onnx import BundleTeacher, OnnxSpec, OnnxTeacher

__all__ = ["Teacher", "TeacherOutput", "load_teacher"]

PATHS = ("weights", "model", "members")
"""Fields of a spec that may hold paths."""
SPECS: dict[str, type[Any]] = {"emonet": EmoNetSpec, "onnx": OnnxSpec, "ensemble": EnsembleSpec}


def load_teacher(path: str | Path) -> Teacher:
    """A checkpoint (.pt), a bundle (a folder, or the name of a packaged one), or a teacher's TOML file.

    The TOML file has ``kind`` = emonet, onnx or ensemble and the fields of EmoNetSpec, OnnxSpec or EnsembleSpec; paths
    in it are relative to it. Raises InputError or ModelInvalid, saying what to do.
    """
    path = Path(path)
    if path.suffix == ".toml":
        return _from_toml(path)
    if path.suffix == ".pt":
        return CheckpointTeacher(path)
    if path.suffix in (".onnx", ".pth"):
        hint = "describe it in a TOML file (see docs/how-to/distilling.md)"
        raise InputError(f"{path} alone does not tell its classes and crop; {hint}")
    if path.exists() and not (path / CARD).is_file():
        raise InputError(f"{path} is not a teacher: give a checkpoint (.pt), a bundle's folder or a TOML file")
    return BundleTeacher(str(path))


def members_of(path: Path) -> tuple[str, ...]:
    """The members that a teacher's TOML file names, as ``load_teacher`` takes them; empty unless it is an ensemble."""
    spec = _read_spec(path)
    return spec.members if isinstance(spec, EnsembleSpec) else ()


def _from_toml(path: Path) -> Teacher:
    spec = _read_spec(path)
    if isinstance(spec, EmoNetSpec):
        return EmoNetTeacher(spec)
    if isinstance(spec, OnnxSpec):
        return OnnxTeacher(spec)
    return Ensemble([load_teacher(member) for member in spec.members], spec.weights, flip=spec.flip)


def _read_spec(path: Path, within: tuple[Path, ...] = ()) -> EmoNetSpec | OnnxSpec | EnsembleSpec:
    """``within``: the ensembles that name this file. Raises InputError where it is one of them itself."""
    own = path.resolve()
    if own in within:
        raise InputError(f"{within[-1]} names {path}, which it is a part of; remove that member")
    values = read_toml(path, "teacher")
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in SPECS:
        raise InputError(f"{path}: kind must be one of {', '.join(SPECS)}; not {kind!r}")
    try:
        spec = build(SPECS[kind], values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    found: EmoNetSpec | OnnxSpec | EnsembleSpec = replace(
        spec, **{f.name: _beside(path, getattr(spec, f.name)) for f in fields(spec) if f.name in PATHS}
    )
    for member in found.members if isinstance(found, EnsembleSpec) else ():
        if member.endswith(".toml"):
            _read_spec(Path(member), (*within, own))
    return found


def _beside(path: Path, value: Any) -> Any:
    """A path in a teacher's file is relative to that file; the name of a packaged bundle stays. An ensemble's weights
    are numbers, and stay too."""
    if isinstance(value, str):
        return value if value in packaged_names() else str(path.parent / value)
    return tuple(_beside(path, v) if isinstance(v, str) else v for v in value)
