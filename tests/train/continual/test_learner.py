"""Classes that are learned one after the other: what is learned, what is kept, what is looked at."""

import numpy as np
import torch
from tiny_compounds import NAMES

from mien_train.continual import compare as comparison
from mien_train.continual.commands import Setup
from mien_train.continual.compare import one_run
from mien_train.continual.fewshot import few
from mien_train.continual.learner import METHODS, Learner
from mien_train.continual.network import grown_state
from mien_train.continual.recipe import ContinualRecipe


def test_the_whole_method_learns_and_does_not_forget(setup: Setup, recipe: ContinualRecipe) -> None:
    label = setup.test.label
    ends = {
        m: one_run(setup.basic, setup.bank, setup.test, recipe, m, 0).stages[-1] for m in ("psmr+kd", "fine-tuning")
    }
    right = {m: ((p == label)[label >= 8].mean(), (p == label)[label < 8].mean()) for m, p in ends.items()}
    assert right["psmr+kd"][0] >= 0.6
    assert right["psmr+kd"][1] >= 0.6
    assert right["psmr+kd"][1] > right["fine-tuning"][1] + 0.2


def test_only_the_class_that_is_learned_and_the_memory_are_looked_at(setup: Setup, recipe: ContinualRecipe) -> None:
    learner = Learner(setup.basic, setup.bank, recipe, METHODS["psmr+kd"], 0)
    assert learner.remembered == 40
    drawn = np.concatenate([learner._draw(setup.bank.rows(8)) for _ in range(40)])
    assert set(setup.bank.label[drawn]) == set(range(9))
    kept = np.concatenate(list(learner.memory.kept.values()))
    assert set(drawn) <= set(kept) | set(setup.bank.rows(8))
    before = {name: value.clone() for name, value in setup.basic.state_dict().items()}
    learner.learn(NAMES[8], 8)
    assert learner.remembered == 9 * (40 // 9)
    assert all(torch.equal(value, before[name]) for name, value in setup.basic.state_dict().items())


def test_a_run_is_the_same_twice_and_another_order_is_another(setup: Setup, recipe: ContinualRecipe) -> None:
    turned = next(n for n in range(10) if comparison.order_of(recipe, n) == [9, 8])
    first, again, other = (one_run(setup.basic, setup.bank, setup.test, recipe, "random+kd", n) for n in (0, 0, turned))
    assert np.array_equal(first.stages, again.stages)
    assert first.order.tolist() == [8, 9]
    assert (9 in first.stages[1], 8 in other.stages[1]) == (False, False)


def test_few_shots_hide_all_other_examples(setup: Setup) -> None:
    made = few(setup.bank, [9], 3, np.random.default_rng(0))
    assert (len(made.rows(8)), len(made.rows(9)), len(made.rows(0))) == (0, 3, 8)
    assert set(made.rows(9)) <= set(setup.bank.rows(9))


def test_caution_goes_into_the_biases(setup: Setup) -> None:
    learner_tail = Learner(setup.basic, setup.bank, ContinualRecipe(), METHODS["fine-tuning"], 0).tail
    learner_tail.grow("sadly angry")
    states = [
        grown_state(setup.state, setup.student, learner_tail, ["sadly angry"], c)["compounds"] for c in (0.0, 1.5)
    ]
    assert torch.allclose(states[0]["bias"] - 1.5, states[1]["bias"])
