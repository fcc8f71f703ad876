"""The temporal encoder of a bundle: recognizes the expression of a face from its last frames."""

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
from mien.vision.expression import Prediction

FILE = "temporal.onnx"
MIN_SPACING_SECONDS = 0.02
"""Minimum time between two frames that are remembered: with a faster camera the window would cover too little time."""

Reading = tuple[dict[str, float], Affect | None]
"""Probabilities by class, and affect (None for a model without), computed from several frames."""


@dataclass(frozen=True)
class TemporalSpec:
    """The shape of an encoder. ``window``: number of frames that it sees. ``span``: age in seconds beyond which a frame
    is ignored. ``state``: width of the token that represents a frame."""

    window: int
    span: float
    state: int


class TemporalEncoder:
    """``temporal.onnx`` of a bundle. It keeps no state between calls, so threads may share it."""

    def __init__(self, bundle: Bundle):
        """Raises ModelInvalid if the card does not describe the encoder or does not fit it, and EngineUnavailable
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
        """Tokens (T - 1, state) and ages (T - 1,) that mean no frames."""
        spec = self.spec
        return np.zeros((spec.window - 1, spec.state), np.float32), np.full(spec.window - 1, np.inf, np.float32)

    def run(self, results: Sequence[Prediction], past: Floats, ages: Floats) -> tuple[list[Reading], Floats]:
        """Read N faces in one engine call.

        For a model without valence and arousal, the encoder gets zeros, and its own values for them are dropped.

        Args:
            results: The model's predictions for the frame in question.
            past: (N, T - 1, state), tokens of other frames.
            ages: (N, T - 1), seconds from each of these to the frame in question: negative if later, inf for none.

        Returns:
            The readings, and the tokens (N, state) to remember.
        """
        probabilities = [[*expression.probabilities.values()] for expression, _, _ in results]
        outputs = self._graph.run(
            {
                "embedding": stacked([embedding for _, _, embedding in results]),
                "expression": np.asarray(probabilities, np.float32),
                "affect": np.asarray(
                    [(affect.valence, affect.arousal) if affect else (0.0, 0.0) for _, affect, _ in results], np.float32
                ),
                "past": past,
                "ages": ages,
            }
        )
        token = outputs["token"]
        if token.shape != (len(results), self.spec.state):
            raise ModelInvalid(f"its token has shape {token.shape}")
        pairs = zip(outputs["expression_now"].tolist(), outputs["affect_now"].tolist(), strict=True)
        return [
            (dict(zip(self.labels, values, strict=True)), Affect(*affect) if self._has_affect else None)
            for values, affect in pairs
        ], token


class _TrackTokens:
    """The ``tokens`` (T - 1, state) of one track and their ``times`` (T - 1,) in s, in any order: the encoder goes by
    their ages."""

    def __init__(self, encoder: TemporalEncoder):
        self.tokens, ages = encoder.blank()
        self.times = -ages.astype(np.float64)
        self._last, self._next = -np.inf, 0

    def remember(self, token: Floats, now: float) -> None:
        """Replace the oldest token, if the newest is old enough."""
        if now - self._last >= MIN_SPACING_SECONDS and len(self.times):
            self.tokens[self._next], self.times[self._next] = token, now
            self._last, self._next = now, (self._next + 1) % len(self.times)


class Memory:
    """The memory of a stream: the tokens of the last frames of each track."""

    def __init__(self, encoder: TemporalEncoder):
        self._encoder = encoder
        self._tracks: dict[int, _TrackTokens] = {}

    def read(self, ids: Sequence[int], now: float, results: Sequence[Prediction]) -> list[Reading]:
        """Read the faces of the tracks ``ids`` at ``now`` s, which increases from call to call. Other tracks keep their
        tokens; the encoder sees later how old those are."""
        if not ids:
            return []
        for id_ in ids:
            if id_ not in self._tracks:
                self._tracks[id_] = _TrackTokens(self._encoder)
        known = [self._tracks[id_] for id_ in ids]
        past = stacked([one.tokens for one in known])
        ages = (now - stacked([one.times for one in known])).astype(np.float32)
        readings, tokens = self._encoder.run(results, past, ages)
        for one, token in zip(known, tokens, strict=True):
            one.remember(token, now)
        return readings

    def forget_but(self, alive: set[int]) -> None:
        """Drop the tracks that have ended."""
        self._tracks = {id_: tokens for id_, tokens in self._tracks.items() if id_ in alive}


def stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Like ``np.stack``, but a view for a single array, which is the most frequent case."""
    return parts[0][None] if len(parts) == 1 else np.stack(parts)


def temporal_spec(card: ModelCard) -> TemporalSpec:
    """The shape of the card's encoder. Raises ModelInvalid if it has none, or describes it wrongly."""
    if not card.temporal:
        raise ModelInvalid(f"the bundle {card.name} has no temporal encoder; make one with fer-train temporal")
    numbers: Mapping[str, Any] = card.temporal
    values = [numbers.get(name) for name in ("window", "span", "state")]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 for value in values):
        raise ModelInvalid(f"the card's temporal entry needs window, span and state above 0, not {values}")
    window, span, state = values
    if not (isinstance(window, int) and isinstance(state, int) and 2 <= window <= 1024 and state <= 4096):
        raise ModelInvalid(f"the card's temporal entry has a window of {window} and a state of {state}")
    return TemporalSpec(window, float(span), state)  # type: ignore[arg-type]


def load_temporal(bundle: Bundle, wanted: bool | None) -> TemporalEncoder | None:
    """The encoder of ``bundle``. ``wanted``: True raises InputError if there is none, None uses one if there is."""
    if wanted is None and (not bundle.card.temporal or find_spec("onnxruntime") is None):
        return None
    if wanted is False:
        return None
    if wanted and not bundle.card.temporal:
        raise InputError(f"temporal=True, but the bundle {bundle.folder} has no temporal encoder; leave it out")
    return TemporalEncoder(bundle)
