"""The temporal encoder of a bundle: the last frames of each face -> what it shows now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from mien.bundle import Bundle
from mien.bundle.card import ModelCard
from mien.errors import EngineUnavailable, InputError, ModelInvalid
from mien.types import Affect, Expression, Floats
from mien.vision.expression import Said

FILE = "temporal.onnx"
SPACING = 0.02
"""Seconds between two frames that are kept: a faster camera would fill the window with less and less time."""

Reading = tuple[dict[str, float], Affect | None]
"""Probabilities by class, and affect where the model tells it, over time."""


@dataclass(frozen=True)
class TemporalSpec:
    """``window``: frames that it sees at a time. ``span``: seconds beyond which a frame does not count.
    ``state``: numbers that are kept of a frame."""

    window: int
    span: float
    state: int


class TemporalEncoder:
    """``temporal.onnx`` of a bundle. Stateless, so threads may share it."""

    def __init__(self, bundle: Bundle):
        """Raises ModelInvalid where the card does not say what the file is, or it does not fit; EngineUnavailable
        without ONNX Runtime."""
        self.labels, self._has_affect = bundle.card.labels, bundle.card.has_affect
        self.spec = temporal_spec(bundle.card)
        path = bundle.verified(FILE)
        try:
            from mien.engines.graph import OrtGraph
        except (ImportError, AttributeError) as error:
            raise EngineUnavailable(
                f"the temporal encoder runs on ONNX Runtime, which is not installed or does not work ({error}); "
                'run: pip install "mien[cpu]", or use temporal=False'
            ) from error
        self._graph = OrtGraph(path)
        spec, width = self.spec, len(self.labels)
        blank = np.zeros(bundle.card.embedding, np.float32)
        neutral = Expression(self.labels[0], 1.0, dict.fromkeys(self.labels, 1 / width))
        try:
            self.run([(neutral, Affect(0.0, 0.0), blank)], *(part[None] for part in self.blank()))
        except Exception as error:
            raise ModelInvalid(f"{path} does not fit its card ({spec}): {error}; export the bundle again") from error

    def blank(self) -> tuple[Floats, Floats]:
        """The tokens (T - 1, state) of no frames, and their ages (T - 1,)."""
        spec = self.spec
        return np.zeros((spec.window - 1, spec.state), np.float32), np.full(spec.window - 1, np.inf, np.float32)

    def run(self, results: Sequence[Said], past: Floats, ages: Floats) -> tuple[list[Reading], Floats]:
        """N faces in one engine call. ``results``: of the frame in question. ``past`` (N, T - 1, state): tokens of
        other frames, ``ages`` (N, T - 1): seconds from each to the one in question, below 0 for later ones and inf for
        none. Returns the readings, and the tokens (N, state) to keep.

        Of a model that never learned valence and arousal the encoder is given zeros, and what it makes of them is not
        told."""
        said = [[*expression.probabilities.values()] for expression, _, _ in results]
        made = self._graph.run(
            {
                "embedding": stacked([embedding for _, _, embedding in results]),
                "expression": np.asarray(said, np.float32),
                "affect": np.asarray(
                    [(affect.valence, affect.arousal) if affect else (0.0, 0.0) for _, affect, _ in results], np.float32
                ),
                "past": past,
                "ages": ages,
            }
        )
        token = made["token"]
        if token.shape != (len(results), self.spec.state):
            raise ModelInvalid(f"its token is {token.shape}")
        pairs = zip(made["expression_now"].tolist(), made["affect_now"].tolist(), strict=True)
        return [
            (dict(zip(self.labels, values, strict=True)), Affect(*affect) if self._has_affect else None)
            for values, affect in pairs
        ], token


class _Past:
    """Of one track: ``tokens`` (T - 1, state), seen at ``times`` s (T - 1,), in no order: the encoder goes by ages."""

    def __init__(self, encoder: TemporalEncoder):
        self.tokens, ages = encoder.blank()
        self.times = -ages.astype(np.float64)
        self._last, self._next = -np.inf, 0

    def keep(self, token: Floats, now: float) -> None:
        """In the oldest one's place, if the last is old enough."""
        if now - self._last >= SPACING and len(self.times):
            self.tokens[self._next], self.times[self._next] = token, now
            self._last, self._next = now, (self._next + 1) % len(self.times)


class Memory:
    """What a stream keeps of its faces: tokens of the last frames of each track."""

    def __init__(self, encoder: TemporalEncoder):
        self._encoder = encoder
        self._tracks: dict[int, _Past] = {}

    def read(self, ids: Sequence[int], now: float, results: Sequence[Said]) -> list[Reading]:
        """The faces of tracks ``ids`` at ``now`` s, which rises from call to call. A track that is not named keeps its
        past; how long ago that was is told to the encoder."""
        if not ids:
            return []
        for id_ in ids:
            if id_ not in self._tracks:
                self._tracks[id_] = _Past(self._encoder)
        known = [self._tracks[id_] for id_ in ids]
        past = stacked([one.tokens for one in known])
        ages = (now - stacked([one.times for one in known])).astype(np.float32)
        readings, tokens = self._encoder.run(results, past, ages)
        for one, token in zip(known, tokens, strict=True):
            one.keep(token, now)
        return readings

    def forget_but(self, alive: set[int]) -> None:
        """Drop the tracks that have ended."""
        self._tracks = {id_: kept for id_, kept in self._tracks.items() if id_ in alive}


def stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """As ``np.stack``; of one, which is what most frames have, a view."""
    return parts[0][None] if len(parts) == 1 else np.stack(parts)


def temporal_spec(card: ModelCard) -> TemporalSpec:
    """Raises ModelInvalid where the card has no encoder, or says nonsense of it."""
    if not card.temporal:
        raise ModelInvalid(f"the bundle {card.name} has no temporal encoder; make one with fer-train temporal")
    numbers: Mapping[str, Any] = card.temporal
    made = [numbers.get(name) for name in ("window", "span", "state")]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 for value in made):
        raise ModelInvalid(f"the card's temporal entry needs window, span and state above 0, not {made}")
    window, span, state = made
    if not (isinstance(window, int) and isinstance(state, int) and 2 <= window <= 1024 and state <= 4096):
        raise ModelInvalid(f"the card's temporal entry has a window of {window} and a state of {state}")
    return TemporalSpec(window, float(span), state)  # type: ignore[arg-type]


def load_temporal(bundle: Bundle, wanted: bool | None) -> TemporalEncoder | None:
    """The encoder of ``bundle``. ``wanted``: True raises InputError where there is none, None takes what there is."""
    if wanted is None and (not bundle.card.temporal or find_spec("onnxruntime") is None):
        return None
    if wanted is False:
        return None
    if wanted and not bundle.card.temporal:
        raise InputError(f"temporal=True, but the bundle {bundle.folder} has no temporal encoder; leave it out")
    return TemporalEncoder(bundle)
