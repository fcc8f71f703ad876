"""MODEL_CARD.md says what the packaged card says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mien.bundle import find_bundle
from mien_export.model_card import FILE, model_card

ROOT = Path(__file__).parents[2]


def test_the_committed_one_is_that_of_the_packaged_model() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == model_card(find_bundle().card)


def test_every_figure_set_and_limit_is_in_it() -> None:
    card = find_bundle().card
    text = model_card(card)
    for name, values in card.metrics.items():
        assert name in text
        if "accuracy" in values:
            assert f"{values['accuracy']:.3f}" in text
            assert all(f"{recall:.2f}" in text for recall in values["recall"].values())
    for item in card.training:
        assert f"| {item.name} | {item.images} | {item.terms} |" in text
    assert card.limits in text
    assert card.origin in text


def test_a_card_without_affect_says_so() -> None:
    card = find_bundle().card
    only = {name: values for name, values in card.metrics.items() if "accuracy" in values}
    assert "not trained" in model_card(replace(card, metrics=only))
