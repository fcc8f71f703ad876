"""The options of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from mien.errors import InputError
from mien.validation import check_number

SECONDS = "a number of seconds from 0"


@dataclass(frozen=True)
class StreamOptions:
    """Options of a stream, all in seconds.

    A temporal encoder replaces the filters for valence and arousal; 0.4 times ``smoothing`` is still applied to its
    probabilities, and all of it to boxes and landmarks.

    Attributes:
        search_every: Time between searches of the whole frame for new faces.
        max_gap: How long a face may be out of sight and keep its id.
        smoothing: Time constant for the probabilities. Valence, arousal, boxes and landmarks follow it while they rest,
            and react faster when they move. 0 turns all smoothing off.
        baseline: Time at the start of each track during which the person is at rest; how the face looks then is
            subtracted afterwards. 0 for none.
    """

    search_every: float = 1.0
    max_gap: float = 1.0
    smoothing: float = 0.25
    baseline: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if check_number(value, name, SECONDS) < 0:
                raise InputError(f"{name} is {value}; use {SECONDS}")
