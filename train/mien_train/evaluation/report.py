"""Figures as lines of text."""

from __future__ import annotations

from typing import Any


def lines(figures: dict[str, Any]) -> list[str]:
    """The figures of ``evaluate`` or of a card, for a terminal."""
    text: list[str] = []
    for name, values in figures.items():
        if not isinstance(values, dict):
            text.append(f"{name:28s} {values}")
        elif "accuracy" in values:
            text += _expression(name, values)
        else:
            text += [line for kind, affect in values.items() for line in _affect(f"{name}, {kind}", affect)]
    return text


def comparison(figures: dict[str, Any]) -> list[str]:
    """The figures of ``compare``, for a terminal."""
    text = []
    for name, values in figures.items():
        first, second = values["accuracies"]
        interval = "  [{:+.4f}, {:+.4f}]".format(*values["interval"]) if "interval" in values else ""
        learned = values.get("trained_on", ())
        names = " and ".join(side for side, own in zip(("first", "second"), learned, strict=False) if own)
        warning = f"  TRAINED ON by {names}" if names else ""
        text.append(f"{name:28s} {first:.4f} - {second:.4f} = {values['difference']:+.4f}{interval}{warning}")
    return text


def _expression(name: str, values: dict[str, Any]) -> list[str]:
    def shown(key: str) -> str:
        return "{:.4f} [{:.4f}, {:.4f}]".format(values[key], *values["intervals"][key])

    recalls = "  ".join(f"{label} {recall:.2f}" for label, recall in values["recall"].items())
    return [
        f"{name:28s} accuracy {shown('accuracy')}  macro-F1 {shown('macro_f1')}  ECE {shown('calibration_error')}",
        f"{'':28s} recall {recalls}",
    ]


def _affect(name: str, values: dict[str, Any]) -> list[str]:
    """Figures of valence / arousal, each with its interval."""
    text = [f"{name} ({values['images']} images, valence / arousal)"]
    for measure in ("ccc", "pcc", "rmse", "sagr"):
        both = (
            "{:.4f} [{:.4f}, {:.4f}]".format(values[key], *values["intervals"][key])
            for key in (f"{measure}_valence", f"{measure}_arousal")
        )
        text.append(f"{'':28s} {measure.upper():4s} {' / '.join(both)}")
    return text
