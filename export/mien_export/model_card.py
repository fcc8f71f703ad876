"""The model card in words: ``MODEL_CARD.md``, for a person who decides whether to deploy a bundle.

After Mitchell et al. 2019, "Model cards for model reporting". All figures come from ``card.json``.
"""

from __future__ import annotations

from typing import Any

from mien.bundle import FILES
from mien.bundle.card import ModelCard
from mien.types import EXPRESSIONS

FILE = "MODEL_CARD.md"

WORDS = """
## What a face cannot tell

The network names the expression that people would see in a picture of a face. It does not know what the person feels:
people smile without joy and feel anger without showing it, and one face means different things in different
cultures and situations (Barrett et al. 2019, *Psychological Science in the Public Interest* 20:1-68). Its labels come
from annotators who saw one picture without context, and who often disagreed. Treat the output as "this looks like",
never as "this person is".

## Intended use

Machines that react to the face in front of them, where a wrong reading costs little and can be corrected: robots and
kiosks that answer a smile, games, avatars, accessibility tools under the user's control, summaries over many people who
agreed to it, and research. Show people that it runs, ask them, and let them switch it off.

## Misuse

Not for decisions about people: hiring, schooling, policing, borders, insurance, credit, medical or psychological
diagnosis, lie detection. Inferring emotions at work or in schools is prohibited in the European Union (Regulation
2024/1689, article 5). Not as the only safety measure of a vehicle or machine. Not for watching people unknown to them.
"""


def model_card(card: ModelCard) -> str:
    """The card as Markdown."""
    sets = {name: values for name, values in card.metrics.items() if "accuracy" in values}
    affect = {name: values for name, values in card.metrics.items() if "accuracy" not in values}
    size = card.crop.size
    parts = [
        f"# {card.name}",
        f"Reads one of {len(card.labels)} expressions ({', '.join(card.labels)})"
        f"{', valence and arousal' if card.has_affect else ''} from a face crop of {size}x{size} px. "
        f"{card.backbone}, {card.macs / 1e9:.3f} GMAC, "
        f"{card.parameters / 1e6:.1f} million parameters; mien {card.version}.",
        card.origin,
        _network(card),
        "## Figures on faces that it was not trained on",
        "Aligned crops of the official test splits, one forward pass; 95 % bootstrap intervals in brackets. "
        f"{_scored(card)} The sets share their sources with the training data, so expect less on other faces.",
        _expression_table(sets),
        "Recall by class (the share of the faces of a class that it finds):",
        _recall_table(card, sets),
        _affect_table(affect) if card.has_affect else "Valence and arousal were not learned, so it gives none.",
        _calibration(card),
        _fairness(card),
        _proof_table(card),
        _temporal(card),
        "## Training data and terms",
        _training(card),
        "## Limits",
        _weakest(sets) + card.limits,
        WORDS.strip(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _network(card: ModelCard) -> str:
    if not card.network:
        return ""
    return f"It uses the network of the packaged bundle `{card.network['bundle']}`, and holds the last layer alone."


def _scored(card: ModelCard) -> str:
    if set(card.labels) <= set(EXPRESSIONS):
        return "Sets without contempt are scored over their seven classes."
    return f"All {len(card.labels)} classes compete on every set; faces of any other class are left out."


def _shown(values: dict[str, Any], key: str) -> str:
    interval = values.get("intervals", {}).get(key)
    return f"{values[key]:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def _expression_table(sets: dict[str, Any]) -> str:
    rows = ["| set | images | accuracy | macro-F1 | calibration error |", "|---|---|---|---|---|"]
    for name, values in sets.items():
        keys = ("accuracy", "macro_f1", "calibration_error")
        rows.append(f"| {name} | {values['images']} | " + " | ".join(_shown(values, key) for key in keys) + " |")
    return "\n".join(rows)


def _temporal(card: ModelCard) -> str:
    if not card.temporal:
        return "It has no temporal encoder: streams and videos are smoothed by filters."
    encoder = card.temporal
    return (
        "## Temporal encoder\n\n"
        f"`temporal.onnx` reads a face from up to {encoder['window']} of its frames, at most {encoder['span']:g} s "
        f"away, for {encoder['macs'] / 1e6:.2f} million multiply-accumulates a frame "
        f"({100 * encoder['macs'] / card.macs:.1f} % of the student's). Trained on {encoder['training']}."
    )


def _recall_table(card: ModelCard, sets: dict[str, Any]) -> str:
    rows = ["| set | " + " | ".join(card.labels) + " |", "|---" * (len(card.labels) + 1) + "|"]
    for name, values in sets.items():
        cells = (f"{values['recall'][label]:.2f}" if label in values["recall"] else "" for label in card.labels)
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _affect_table(affect: dict[str, Any]) -> str:
    rows = [
        "| set | images | CCC valence | CCC arousal | RMSE valence | RMSE arousal |",
        "|---" * 6 + "|",
    ]
    for name, kinds in affect.items():
        for kind, values in kinds.items():
            keys = ("ccc_valence", "ccc_arousal", "rmse_valence", "rmse_arousal")
            cells = " | ".join(_shown(values, key) for key in keys)
            rows.append(f"| {name}: {kind} | {values['images']} | {cells} |")
    if any("kept" in kinds for kinds in affect.values()):
        note = (
            "`kept` compares with the outputs, on the same faces, of the network that training went on from, "
            "not with people's ratings."
        )
    else:
        note = (
            "`head` is this model's, cross-validated; `last_fold` are the images among them whose valence and "
            "arousal no teacher was trained on either; `class_means` is a baseline that knows only the class."
        )
    return "\n".join(rows) + "\n\n" + note


def _proof_table(card: ModelCard) -> str:
    """What the smaller or converted forms of the model lose, if there are any."""
    if not card.proofs:
        return ""
    rows = [
        "| form | faces | same label | accuracy, fp32 to this | largest difference of a probability | size | verdict |",
        "|---" * 7 + "|",
    ]
    for name, proof in card.proofs.items():
        pair = proof.get("accuracy")
        accuracy = f"{pair[0]:.4f} to {pair[1]:.4f}" if pair else "no labels"
        verdict = "passed" if proof["passed"] else "FAILED, but written: " + "; ".join(proof["failures"])
        rows.append(
            f"| {name} | {proof['faces']}, {proof['origin']} | {proof['agreement']:.1%} | {accuracy} | "
            f"{proof['probability_max']:.4f} | {proof['size']:.0%} | {verdict} |"
        )
    alone = "" if FILES["fp32"] in card.files or card.network else "\n\nfp32 itself is not in this bundle."
    return "## Other forms of this model, against fp32\n\n" + "\n".join(rows) + alone


def _calibration(card: ModelCard) -> str:
    before, after = card.calibration.error_before, card.calibration.error_after
    shown = "; ".join(f"{name} {before[name]:.3f} to {after[name]:.3f}" for name in before if name in after)
    return f"Expected calibration error before and after the temperature: {shown}." if shown else ""


def _fairness(card: ModelCard) -> str:
    """Figures for groups of portraits, with 95 % intervals."""
    if not card.fairness:
        return ""
    groups = card.fairness["by group"]
    measures = list(next(iter(next(iter(groups.values())).values())))[1:]
    rows = ["| who | portraits | " + " | ".join(measures) + " |", "|---" * (len(measures) + 2) + "|"]
    for attribute, parts in groups.items():
        for name, values in parts.items():
            cells = " | ".join(_interval(values[measure]) for measure in measures)
            rows.append(f"| {attribute}: {name.replace('_', ' ')} | {values['portraits']} | {cells} |")
    return f"## Who is read worse\n\n{card.fairness['about']}\n\n" + "\n".join(rows)


def _interval(values: dict[str, Any]) -> str:
    if values["mean"] is None:
        return ""
    low, high = values["interval"]
    return f"{values['mean']:.2f} [{low:.2f}, {high:.2f}]"


def _training(card: ModelCard) -> str:
    rows = ["| set | images | terms |", "|---|---|---|"]
    return "\n".join(rows + [f"| {item.name} | {item.images} | {item.terms} |" for item in card.training])


def _weakest(sets: dict[str, Any]) -> str:
    """The three lowest recalls, by set."""
    recalls = [(r, label, name) for name, values in sets.items() for label, r in values["recall"].items()]
    worst = ", ".join(f"{label} on {name} ({recall:.0%})" for recall, label, name in sorted(recalls)[:3])
    return f"It finds least of: {worst}. " if worst else ""
