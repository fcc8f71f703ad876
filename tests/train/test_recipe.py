from pathlib import Path

import pytest

from mien.align import CropSpec
from mien.errors import InputError
from mien_train.ranges import RANGES
from mien_train.recipe import Recipe, load_recipe, packaged_recipes, recipes_folder
from mien_train.settings import build


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipes_read_and_survive_a_checkpoint(name: str) -> None:
    recipe = load_recipe(recipes_folder() / f"{name}.toml")
    assert build(Recipe, recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop = {size = 64}\nspeed = 3", "unknown key speed"),
        ("crop = {size = 64}\n[optim]\nepoch = 3", "unknown key optim.epoch"),
        ("crop = {size = 64}\n[optim]\nepochs = 'many'", "optim.epochs must be float"),
        ("crop = {size = 64}\nseed = true", "seed must be int"),
        ("crop = {size = 64}\n[data]\ntrain = 'rafdb/train'", "list of strings"),
        ("seed = 1", "crop"),
        ("crop = 3", "crop. must be a table"),
        ("crop = {size = 2}", "out of range"),
        ("crop = {", "cannot read recipe"),
    ],
)
def test_what_a_recipe_does_not_know_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(path)


def test_changes_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("crop = {size = 64}")
    recipe = load_recipe(path, ("optim.epochs=2", "data.train=['a/b']", "model.backbone=resnet10t", "crop.size=96"))
    assert (recipe.optim.epochs, recipe.data.train, recipe.model.backbone, recipe.crop.size) == (
        2.0, ("a/b",), "resnet10t", 96,
    )  # fmt: skip
    with pytest.raises(InputError, match="key=value"):
        load_recipe(path, ("epochs",))
    with pytest.raises(InputError, match="no recipe at"):
        load_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed=-1", r"seed is -1; it must be from 0"),
        ("workers=-1", "workers is -1; it must be 0 or more"),
        ("optim.mix=50", "optim.mix is 50.0; it must be from 0 to 1"),
        ("optim.batch=0", "optim.batch is 0; it must be 1 or more"),
        ("optim.rate=-1", "optim.rate"),
        ("optim.rate=nan", "optim.rate"),
        ("optim.steps=-5", "optim.steps"),
        ("optim.ema=2", "optim.ema"),
        ("optim.precision=fp8", "optim.precision is 'fp8'; use no, bf16, fp16"),
        ("model.dropout=2", "model.dropout"),
        ("distill.alpha=7", "distill.alpha"),
        ("data.holdout=2", "data.holdout"),
        ("data.contempt=inf", "data.contempt"),
        ("data.calibration_weight=-3", "data.calibration_weight"),
        ("augment.occlude=3", "augment.occlude"),
        ("semi.weak.rotate=inf", "semi.weak.rotate"),
    ],
)
def test_values_that_would_spoil_a_run_are_refused(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("crop = {size = 64}")
    with pytest.raises(InputError, match=message):
        load_recipe(path, (change,))


def test_every_number_of_a_recipe_has_a_range() -> None:
    recipe = Recipe(CropSpec(64))
    for table, ranges in RANGES.items():
        values = vars(getattr(recipe, table))
        numbers = {name for name, value in values.items() if type(value) in (int, float)}
        assert set(ranges) == numbers - ({"labels", "teacher_size", "threshold"} if table == "semi" else set())
