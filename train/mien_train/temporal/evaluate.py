"""The encoder and filters compared on sequences: accuracy, F1, concordance, label changes a second, delay at onsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.tracking.face_state import AFTER_ENCODER
from mien.tracking.offline import VOTE_SECONDS
from mien.tracking.options import StreamOptions
from mien.types import EXPRESSIONS
from mien_train.evaluation.metrics import concordance
from mien_train.temporal.filters import Filter, Reading, averaged, held, raw, slid, streamed
from mien_train.temporal.network import TemporalNet
from mien_train.temporal.sequences import Floats, Sequences
from mien_train.temporal.train import encode

COUNT = len(EXPRESSIONS)
GRID = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.25, 0.3, 0.4, 0.55)
"""Time constants in s that filters are tried with."""
SMOOTHING = StreamOptions().smoothing
RESAMPLES = 400


def methods(net: TemporalNet, chosen: Sequences) -> tuple[dict[str, Filter], dict[str, float]]:
    """Methods by name, and the time constants in s that were chosen for them on ``chosen``.

    The exponential average and a stream's own filters are there twice each: with the constant whose delay at onsets is
    closest to the encoder's, and with the constant of the best accuracy, whatever the delay.
    """
    delay = mean_delay(chosen, {"encoder": _encoder(net)(chosen)})["encoder"]
    constants: dict[str, float] = {}
    filters: dict[str, Filter] = {"raw": raw}
    for name, kind in (("exponential", averaged), ("stream filters", streamed)):
        tried = [kind(chosen, seconds) for seconds in GRID]
        delays = [mean_delay(chosen, {"": reading})[""] for reading in tried]
        scores = [accuracy(reading, chosen) for reading in tried]
        equal = GRID[int(np.argmin(np.abs(np.array(delays) - delay)))]
        best = GRID[int(np.argmax(scores))]
        for what, seconds in (("equal delay", equal), ("most accurate", best)):
            constants[f"{name}, {what}"] = seconds
            filters[f"{name}, {what}"] = _filter(kind, seconds)
    constants["stream filters, as they are"] = SMOOTHING
    filters["stream filters, as they are"] = _filter(streamed, SMOOTHING)
    filters["encoder"] = _encoder(net)
    filters["encoder in a stream"] = _in_stream(net)
    filters["offline: sliding window"] = lambda part: slid(raw(part), part.times, VOTE_SECONDS)
    filters["offline: encoder, sliding window"] = lambda part: slid(
        _encoder(net, centered=True)(part), part.times, VOTE_SECONDS
    )
    return filters, constants


def _filter(kind: Any, seconds: float) -> Filter:
    return lambda part: kind(part, seconds)


def _encoder(net: TemporalNet, *, centered: bool = False) -> Filter:
    def read(part: Sequences) -> Reading:
        expression, affect = encode(net, part, centered=centered)
        return Reading(expression, affect, expression.argmax(-1))

    return read


def _in_stream(net: TemporalNet) -> Filter:
    """What a stream shows of the encoder's outputs: slightly averaged probabilities, and a label that another must
    beat."""

    def read(part: Sequences) -> Reading:
        expression, affect = encode(net, part)
        calm = averaged(replace(part, expression=expression, affect=affect), AFTER_ENCODER * SMOOTHING)
        return Reading(calm.expression, affect, held(calm.expression))

    return read


def accuracy(reading: Reading, sequences: Sequences) -> float:
    known = np.isfinite(sequences.times) & (sequences.label >= 0)
    return float((reading.label == sequences.label)[known].mean()) if known.any() else np.nan


def figures(reading: Reading, sequences: Sequences) -> dict[str, Any]:
    """Figures over all frames, each with its 95 % interval, from sequences drawn with replacement (Efron 1979). None
    where the sequences have no such labels."""
    tables = _tables(reading, sequences)
    names = ("accuracy", "macro_f1", "ccc_valence", "ccc_arousal", "flips")
    whole = _figures(tables)
    rng = np.random.default_rng(0)
    draws = [_figures([tables[i] for i in rng.integers(len(tables), size=len(tables))]) for _ in range(RESAMPLES)]
    return _rounded(names, whole, draws)


def gains(reading: Reading, other: Reading, sequences: Sequences) -> dict[str, Any]:
    """Figures of ``reading`` minus those of ``other`` on the same sequences, with paired 95 % intervals."""
    one, two = _tables(reading, sequences), _tables(other, sequences)

    def gap(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        first, second = _figures([one[i] for i in rows]), _figures([two[i] for i in rows])
        both = first - second
        return np.array([both[0], both[1], (both[2] + both[3]) / 2, both[4]])

    rng = np.random.default_rng(0)
    whole = gap(np.arange(len(sequences)))
    draws = [gap(rng.integers(len(sequences), size=len(sequences))) for _ in range(RESAMPLES)]
    names = ("accuracy", "macro_f1", "ccc", "flips")
    return _rounded(names, whole, draws)


def _rounded(names: tuple[str, ...], whole: NDArray[np.float64], draws: Any) -> dict[str, Any]:
    """Value and both ends of the interval of each figure; None for one that is not known."""
    known = np.isfinite(whole)
    low, high = np.nanpercentile(np.where(known, draws, 0.0), [2.5, 97.5], axis=0)
    return {
        name: [round(float(v), 4) for v in (whole[i], low[i], high[i])] if known[i] else None
        for i, name in enumerate(names)
    }


class _Table(NamedTuple):
    """What figures need of one sequence: ``confusion`` (8, 8), ``flips`` of the shown label over ``seconds``, and its
    rated frames (N, 2), ``predicted`` and ``truth``."""

    confusion: NDArray[np.float64]
    flips: int
    seconds: float
    predicted: Floats
    truth: Floats


def _tables(reading: Reading, sequences: Sequences) -> list[_Table]:
    tables = []
    for s in range(len(sequences)):
        there = np.isfinite(sequences.times[s])
        known = there & (sequences.label[s] >= 0)
        confusion = np.zeros((COUNT, COUNT))
        np.add.at(confusion, (sequences.label[s, known], reading.label[s, known]), 1)
        rated = there & ~np.isnan(sequences.truth[s]).any(-1)
        shown, times = reading.label[s, there], sequences.times[s, there]
        flips = int((shown[1:] != shown[:-1]).sum())
        tables.append(
            _Table(confusion, flips, float(times[-1] - times[0]), reading.affect[s, rated], sequences.truth[s, rated])
        )
    return tables


def _figures(tables: list[_Table]) -> NDArray[np.float64]:
    """Accuracy, macro-F1, concordance of valence and of arousal, label changes a second; NaN where not known."""
    confusion = np.sum([table.confusion for table in tables], axis=0)
    hits, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    f1 = 2 * hits[true > 0] / (true + predicted)[true > 0]
    right = hits.sum() / true.sum() if true.sum() else np.nan
    affect, truth = (np.concatenate([getattr(table, name) for table in tables]) for name in ("predicted", "truth"))
    ccc = concordance(affect, truth) if len(truth) > 1 else np.full(2, np.nan)
    flips = sum(table.flips for table in tables) / max(sum(table.seconds for table in tables), 1e-9)
    return np.array([right, f1.mean() if len(f1) else np.nan, *ccc, flips])


def mean_delay(sequences: Sequences, readings: Mapping[str, Reading]) -> dict[str, float]:
    """Seconds from a change of the true label until the shown label is first right, by name: the mean over those
    changes that all ``readings`` show before the next change. A label that is right already counts as a delay of 0."""
    found: list[list[float]] = []
    for s in range(len(sequences)):
        label, times = sequences.label[s], sequences.times[s]
        changes = [*np.flatnonzero((label[1:] != label[:-1]) & np.isfinite(times[1:])) + 1, len(label)]
        for begin, end in pairwise(changes):
            right = [np.flatnonzero(reading.label[s, begin:end] == label[begin]) for reading in readings.values()]
            if label[begin] >= 0 and all(len(places) for places in right):
                found.append([times[begin + places[0]] - times[begin] for places in right])
    means = np.mean(found, axis=0) if found else np.full(len(readings), np.nan)
    return dict(zip(readings, means.round(4).tolist(), strict=True))
