"""Continual learning in its parts: classes, folders, memory, loss, figures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_compounds import COMPOUNDS, NAMES, votes_for, write_cfee, write_rafdb
from tiny_data import write_split

from mien.errors import InputError
from mien_train.continual.classes import class_names, labels_of_names, labels_of_votes
from mien_train.continual.figures import course, new_at_loss, summary
from mien_train.continual.folders import pictures_of
from mien_train.continual.memory import Memory, herding, psmr
from mien_train.continual.recipe import ClassesRecipe, ContinualRecipe, MemoryRecipe, load_continual
from mien_train.continual.sets import load_labeled, load_learning
from mien_train.data.compounds import COMPOUNDS as KNOWN
from mien_train.data.compounds import KNOWN as EVERY
from mien_train.losses.continual import continual_loss, gamma_at
from mien_train.settings import build


def test_a_blend_of_votes_is_a_compound_only_where_both_are_clear() -> None:
    fear, surprise, neutral = 4, 3, 0
    rows = {
        "six and four": ({fear: 6, surprise: 4}, 8),
        "the other way round": ({fear: 3, surprise: 5, neutral: 2}, 8),
        "a weak second": ({fear: 7, surprise: 2, neutral: 1}, fear),
        "too much else": ({fear: 4, surprise: 3, neutral: 3}, -1),
        "a blend that is not asked for": ({neutral: 6, fear: 4}, neutral),
    }
    votes = np.zeros((len(rows), 10), int)
    for row, (counts, _) in enumerate(rows.values()):
        for place, count in counts.items():
            votes[row, place] = count
    majority = np.where(votes[:, :8].max(1) > 5, votes[:, :8].argmax(1), -1)
    made = labels_of_votes(votes, majority, ("fearfully surprised",))
    assert dict(zip(rows, made.tolist(), strict=True)) == {name: label for name, (_, label) in rows.items()}


def test_a_hundred_votes_count_as_ten() -> None:
    anger, disgust = 6, 5
    votes = np.zeros((2, 10), int)
    votes[0, [anger, disgust]] = 62, 35
    votes[1, [anger, disgust]] = 80, 20  # two of ten are too few
    assert labels_of_votes(votes, np.array([-1, 6]), ("hatred", "angrily disgusted")).tolist() == [9, 6]


def test_names_give_the_compounds_of_a_recipe_and_no_other() -> None:
    names = ["angry", "hatred", "awed", None, "sadly angry"]
    assert labels_of_names(names, np.array([6, -1, -1, 0, -1]), ("sadly angry", "hatred")).tolist() == [6, 9, -1, 0, 8]


def test_every_made_up_vote_gives_its_class() -> None:
    votes = np.array([votes_for(label) for label in range(len(NAMES))])
    assert labels_of_votes(votes, votes[:, :8].argmax(1), COMPOUNDS).tolist() == list(range(len(NAMES)))


def test_unknown_and_repeated_compounds_are_refused() -> None:
    with pytest.raises(InputError, match="unknown compound 'madly glad'; they are happily surprised"):
        class_names(("madly glad",))
    for wrong in ((), ("sadly angry", "sadly angry")):
        with pytest.raises(InputError, match="at least one compound, and each of them once"):
            class_names(wrong)


def test_cfee_is_split_by_person_and_read_by_its_codes(tmp_path: Path, portrait: np.ndarray) -> None:
    folder = write_cfee(tmp_path / "CFEE", portrait)
    sides = {split: pictures_of(folder, split) for split in ("train", "test")}
    people = {split: {p.path.name.split("_")[1] for p in pictures} for split, pictures in sides.items()}
    assert people["train"]
    assert people["test"]
    assert not people["train"] & people["test"]
    assert len(people["train"] | people["test"]) == 8
    names = {p.path.name[:2]: p.name for pictures in sides.values() for p in pictures}
    assert names == {"01": "neutral", "04": "fear", "11": "sadly angry", "15": "fearfully surprised", "22": "awed"}
    made = load_labeled(str(folder / "train"), COMPOUNDS, None)
    assert sorted(set(made.label.tolist())) == [0, 4, 8, 9]
    assert made.item.faces.expression[made.label >= 8].tolist() == [-1] * int((made.label >= 8).sum())


def test_rafdb_compound_is_read_by_its_list(tmp_path: Path, portrait: np.ndarray) -> None:
    folder = write_rafdb(tmp_path / "compound", portrait)
    made = load_labeled(str(folder / "test"), COMPOUNDS, None)
    assert made.label.tolist() == [8, 9]
    assert made.item.faces.encoded(0) == (folder / "Image" / "aligned" / "test_0001_aligned.jpg").read_bytes()


def test_basic_faces_may_come_from_a_set_without_votes(tmp_path: Path, portrait: np.ndarray) -> None:
    folder = write_rafdb(tmp_path / "compound", portrait)
    write_split(tmp_path / "rafdb", "train", portrait, [0, 1, 2] * 4, 0)
    write_split(tmp_path / "rafdb", "test", portrait, [0, 1, 2], 50)
    sides = [("rafdb/train", f"{folder}/train"), ("rafdb/test", f"{folder}/test")]
    recipe = ClassesRecipe(COMPOUNDS, *sides, basic=2, near_duplicates=-1)
    learned, tested = load_learning(recipe, 0, tmp_path)
    assert sorted(np.concatenate([part.label for part in learned]).tolist()) == [0, 0, 1, 1, 2, 2, 8, 9]
    assert sorted(np.concatenate([part.label for part in tested]).tolist()) == [0, 1, 2, 8, 9]
    with pytest.raises(InputError, match="there is no image of fearfully surprised to learn from"):
        load_learning(replace(recipe, train=("rafdb/train",)), 0, tmp_path)
    with pytest.raises(InputError, match="there is no image of a basic expression to test on"):
        load_learning(replace(recipe, test=(f"{folder}/test",)), 0, tmp_path)
    # The same picture on both sides is not learned from.
    with pytest.raises(InputError, match="there is no image of fearfully surprised to learn from"):
        load_learning(replace(recipe, test=sides[0], near_duplicates=0), 0, tmp_path)


def test_a_folder_that_is_neither_says_so(tmp_path: Path, portrait: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"neither CFEE .* nor RAF-DB compound"):
        load_labeled(str(tmp_path / "train"), COMPOUNDS, None)
    folder = write_rafdb(tmp_path / "compound", portrait)
    with pytest.raises(InputError, match="splits train and test, not 'validation'"):
        pictures_of(folder, "validation")
    labels = folder / "EmoLabel" / "list_patition_label.txt"
    labels.write_text("train_0009.jpg 8\n")
    with pytest.raises(InputError, match=r"train_0009\.jpg, which is in neither"):
        pictures_of(folder, "train")
    for wrong in ("train_0001.jpg 12\n", "train_0001.jpg\n", "train_0001.jpg eight\n"):
        labels.write_text(wrong)
        with pytest.raises(InputError, match=r"line 1: .* should be like"):
            pictures_of(folder, "train")


def test_psmr_takes_the_surest_and_herding_the_most_typical() -> None:
    rng = np.random.default_rng(0)
    assert psmr(np.array([0.2, 0.9, 0.5]), np.zeros((3, 2)), rng).tolist() == [1, 2, 0]
    angles = np.array([0.0, 1.0, 0.4])  # the last lies nearest to the mean direction
    order = herding(np.zeros(3), np.stack([np.cos(angles), np.sin(angles)], axis=1), rng).tolist()
    assert order[0] == 2
    assert sorted(order) == [0, 1, 2]


def test_a_fixed_memory_makes_room_and_a_growing_one_grows() -> None:
    ranked = {0: np.arange(10), 1: np.arange(10, 20)}
    fixed, growing = Memory(MemoryRecipe(size=12)), Memory(MemoryRecipe(grows=True, each=4))
    sizes = []
    for memory in (fixed, growing):
        memory.keep(ranked)
        before = len(memory)
        memory.keep({2: np.arange(20, 30)})
        sizes.append((before, len(memory)))
    assert sizes == [(12, 12), (8, 12)]
    assert fixed.kept[0].tolist() == [0, 1, 2, 3]


def test_the_loss_is_the_papers() -> None:
    torch.manual_seed(0)
    logits, taught, label = torch.randn(5, 4, requires_grad=True), torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 3])
    hard = torch.nn.functional.cross_entropy(logits, label)
    soft = -((taught / 3).softmax(1) * (logits[:, :3] / 3).log_softmax(1)).sum(1).mean()
    made = continual_loss(logits, label, taught, gamma=0.25, temperature=3)
    assert made.item() == pytest.approx((0.75 * hard + 0.25 * 9 * soft).item(), rel=1e-5)
    assert continual_loss(logits, label, taught, gamma=0, temperature=3).item() == pytest.approx(hard.item())
    continual_loss(logits, label, taught, gamma=1, temperature=3).backward()
    assert logits.grad is not None
    assert logits.grad[:, 3].abs().max() == 0  # the teacher says nothing of what it does not know
    assert [gamma_at(epoch, 0.8, 0.5) for epoch in range(3)] == [0.8, 0.4, 0.2]


def test_figures_of_a_course() -> None:
    label = np.array([0, 0, 0, 0, 8, 8, 9, 9])
    stages = np.array([
        [0, 0, 0, 1, 1, 1, 1, 1],
        [0, -1, -1, 1, 8, 8, 8, 8],
        [0, 0, 8, 1, 8, 9, 9, 9],
    ])  # fmt: skip
    made = summary(stages, label, [8, 9])
    assert made["new"] == 0.75
    assert made["basic"] == 0.5
    assert made["basic_forgetting"] == 0.25
    assert made["all"] == 5 / 8
    assert made["new_balanced"] == 0.75
    assert made["forgetting"] == 0.5
    assert made["backward_transfer"] == -0.5
    learned = course(stages, label, [8, 9])
    assert learned["new"][1:] == [1.0, 0.75]
    assert np.isnan(learned["new"][0])
    assert learned["basic"] == [0.75, 0.5, 0.5]
    assert learned["all"][1] == 3 / 4


def test_new_classes_at_the_same_loss() -> None:
    label, classes = np.array([0, 0, 8, 8]), np.array([*range(8), 8])
    logits = np.zeros((4, 9), np.float32)
    logits[:, 8] = [-1, 3, 2, 4]  # the second basic face looks newer than the first new one
    assert new_at_loss(logits, classes, label, before=1.0, limit=0.5) == 1.0
    assert new_at_loss(logits, classes, label, before=1.0, limit=0.0) == 0.5
    assert new_at_loss(logits, classes, label, before=1.2, limit=0.1) == 0.0


def test_balanced_accuracy_counts_every_class_alike() -> None:
    label = np.array([8, 8, 8, 9])
    stages = np.array([[0, 0, 0, 0], [8, 8, 8, 0], [8, 8, 8, 0]])
    basic = np.array([0])
    made = summary(np.hstack([np.zeros((3, 1), int), stages]), np.concatenate([basic, label]), [8, 9])
    assert (made["new"], made["new_balanced"]) == (0.75, 0.5)


def test_the_packaged_recipe_reads() -> None:
    made = load_continual("compounds")
    assert len(made.classes.compounds) == 6
    assert set(made.classes.compounds) <= set(KNOWN)
    assert build(ContinualRecipe, made.to_dict()) == made


def test_the_recipe_of_cfee_has_all_its_compounds_and_nobody_twice() -> None:
    made = load_continual("cfee")
    assert sorted(made.classes.compounds) == sorted(EVERY)
    assert not set(made.classes.train) & set(made.classes.test)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("memory.size=13", "memory.size must be 14 or more"),
        ("learn.share=1", "learn.share must lie between 0 and 1"),
        ("learn.gamma=1.5", "learn.gamma and learn.decay must lie in"),
        ("learn.steps=0", "must be 1 or more"),
        ("learn.temperature=0", "must be above 0"),
        ("learn.precision=fp8", "must be no or bf16"),
        ("learn.speed=3", "unknown key learn.speed"),
        ("seed.more=1", "seed is a value, not a table"),
        ("learn.views=1", "learn.views must be 2 or more"),
        ("classes.split=people", "classes.split must be sets or images"),
        ("classes.compounds=['glad']", "unknown compound 'glad'"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_continual("compounds", (change,))
