"""What the encoder is compared with: the filters of a stream, and a sliding window for recorded video."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mien.tracking.face_state import LABEL_LEAD, FaceState
from mien.tracking.smoothing import Average
from mien.types import EXPRESSIONS, Affect, Detection, Expression, Face
from mien.vision.expression import Labeling
from mien_train.temporal.sequences import Floats, Sequences, Values

BOX = np.array([0, 0, 100, 100], np.float32)


class Reading(NamedTuple):
    """``expression`` (S, F, 8), ``affect`` (S, F, 2), and the ``label`` (S, F) that is shown."""

    expression: Floats
    affect: Floats
    label: np.ndarray


Filter = Callable[[Sequences], Reading]


def raw(sequences: Sequences) -> Reading:
    """Each frame alone."""
    return Reading(sequences.expression, sequences.affect, sequences.expression.argmax(-1))


def averaged(sequences: Sequences, seconds: float) -> Reading:
    """Exponential averages of probabilities, valence and arousal."""
    out = np.concatenate([sequences.expression, sequences.affect], axis=-1)
    for row, times in zip(out, sequences.times, strict=True):
        average, before = Average(seconds), times[0] - 1 / 25
        for i in range(int(np.isfinite(times).sum())):
            row[i] = average.update(row[i], max(times[i] - before, 1e-6))
            before = times[i]
    return Reading(out[..., :8], out[..., 8:], out[..., :8].argmax(-1))


def streamed(sequences: Sequences, seconds: float) -> Reading:
    """What a stream without the encoder does: averages, One-Euro filters, and a label that another must beat."""
    expression, affect = sequences.expression.copy(), sequences.affect.copy()
    label = expression.argmax(-1)
    for s, times in enumerate(sequences.times):
        state = FaceState(seconds, 0.0)
        for i in range(int(np.isfinite(times).sum())):
            named = dict(zip(EXPRESSIONS, sequences.expression[s, i].tolist(), strict=True))
            alone = Face(BOX, None, 1.0, Expression("", 0.0, named), Affect(*sequences.affect[s, i].tolist()), BOX)
            place, step = state.smooth_position(Detection(BOX, None, 1.0), float(times[i]) + 1.0)
            face = state.update(alone, place, step, Labeling())
            expression[s, i] = list(face.expression.probabilities.values())
            assert face.affect is not None
            affect[s, i] = face.affect.valence, face.affect.arousal
            label[s, i] = EXPRESSIONS.index(face.expression.label)
    return Reading(expression, affect, label)


def held(expression: Floats, lead: float = LABEL_LEAD) -> np.ndarray:
    """(S, F, 8) -> (S, F): a label stays until another class leads by ``lead``, as in a stream."""
    label = expression.argmax(-1)
    for s in range(len(label)):
        for i in range(1, label.shape[1]):
            before = label[s, i - 1]
            if expression[s, i].max() < expression[s, i, before] + lead:
                label[s, i] = before
    return label


def slid(reading: Reading, times: Values, seconds: float) -> Reading:
    """Means over the frames within a window of ``seconds`` around each, and the label that most of them have: the usual
    post-processing of recorded video (arXiv 2403.11942)."""
    expression, affect = reading.expression.copy(), reading.affect.copy()
    label = reading.label.copy()
    for s in range(len(times)):
        for i in range(int(np.isfinite(times[s]).sum())):
            near = np.abs(times[s] - times[s, i]) <= seconds / 2
            expression[s, i], affect[s, i] = reading.expression[s, near].mean(0), reading.affect[s, near].mean(0)
            votes = np.bincount(reading.label[s, near], minlength=len(EXPRESSIONS))
            label[s, i] = int((votes + expression[s, i] / 2).argmax())
    return Reading(expression, affect, label)
