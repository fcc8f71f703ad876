"""Frames, boxes, times and options as no caller should give them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mien.recognizer import Recognizer
from mien.types import Face, Image

NUMBERS = (
    0, 1, -1, 0.0, -0.0, 0.5, 1.0, 1e-300, -1e-300, 5e-324, 1e-7, 640, 1e9, 1e18, -1e18, 1e300, -1e300, 1.7e308,
    math.nan, math.inf, -math.inf, 2**31, 2**63, 10**400, True, None, "1", "", "x", [], [1, 2], {}, 1j, b"1", object(),
    np.float32(0.1), np.int8(-3), np.uint64(2**64 - 1), np.array(0.5), np.array([0.5, 1.0]),
)  # fmt: skip
TYPES = ("u1", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "?", "c8", "O", "U1", "S1", "M8[s]", "V4")
SIZES = (1, 1, 2, 3, 16, 31, 96, 161, 640)


def call(recognizer: Recognizer, face: Image, draw: random.Random) -> tuple[str, Callable[[], None]]:
    """What is called, in words, and the call. ``face``: uint8 BGR with one face."""
    ways = (_predict, _predict, _batch, _boxes, _boxes, _landmarks, _stream, _stream, _options, _construct)
    return draw.choice(ways)(recognizer, face, draw)


def check(faces: Sequence[Face]) -> None:
    """AssertionError where a face is not what its docstring promises."""
    for one in faces:
        affect = [one.affect.valence, one.affect.arousal] if one.affect else []
        values = [*affect, *one.box, *one.expression.probabilities.values()]
        assert np.isfinite(values).all(), f"not finite: {values}"
        assert one.landmarks is None or np.isfinite(one.landmarks).all(), "landmarks are not finite"
        assert abs(sum(one.expression.probabilities.values()) - 1) < 1e-3, "probabilities do not sum to 1"
        assert all(abs(value) <= 1 + 1e-6 for value in affect), "affect is out of range"
        if one.raw is not None:
            check([one.raw])


def frame(face: Image, draw: random.Random) -> Any:
    """Half of them could be pictures."""
    noise = np.random.default_rng(draw.getrandbits(32))
    height, width = draw.choice(SIZES), draw.choice(SIZES)
    if draw.random() < 0.2:
        height, width = draw.choice(((1, 100_000), (100_000, 1), (2, 30_000), (5000, 3), (1, 1), (8, 8000)))
    if draw.random() < 0.5:
        return draw.choice(_pictures(face, noise, height, width))()
    wild: list[Callable[[], Any]] = [
        lambda: None,
        lambda: draw.choice(NUMBERS),
        lambda: noise.integers(0, 256, (0, width, 3), np.uint8),
        lambda: noise.integers(0, 256, (height, 0, 3), np.uint8),
        lambda: noise.integers(0, 256, (height, width, draw.choice((0, 1, 2, 4, 5))), np.uint8),
        lambda: noise.integers(0, 256, draw.choice(((), (3,), (height, width), (1, height, width, 3))), np.uint8),
        lambda: np.zeros((height, width, 3), draw.choice(TYPES[1:])),
        lambda: np.full((96, 96, 3), draw.choice((math.nan, math.inf, 1e30)), np.float32),
        lambda: face.tolist(),
        lambda: [[1, 2, 3], [4, 5]],
        lambda: face.tobytes(),
        lambda: "portrait.jpg",
        lambda: np.ma.masked_array(face, face > 99),
        lambda: np.zeros(9, [("b", "u1"), ("g", "u1"), ("r", "u1")]),
        lambda: face.astype(">u2"),
    ]
    return draw.choice(wild)()


def _pictures(face: Image, noise: np.random.Generator, height: int, width: int) -> list[Callable[[], Image]]:
    def read_only() -> Image:
        copy = face.copy()
        copy.flags.writeable = False
        return copy

    def odd() -> Image:
        buffer = np.zeros(face.size + 1, np.uint8)
        buffer[1:] = face.ravel()
        return buffer[1:].reshape(face.shape)

    return [
        lambda: face,
        read_only,
        odd,
        lambda: noise.integers(0, 256, (height, width, 3), np.uint8),
        lambda: face[::-1],
        lambda: face[:, ::-1],
        lambda: face[..., ::-1],
        lambda: face[::2, 1::3],
        lambda: np.asfortranarray(face),
        lambda: face.transpose(1, 0, 2),
        lambda: np.broadcast_to(np.uint8([9, 99, 199]), (height, width, 3)),
        lambda: np.repeat(face, 7, axis=1),
        lambda: np.dstack([face, face])[..., 1:4],
        lambda: np.tile(face, (draw_count(noise), 3, 1)),
    ]


def draw_count(noise: np.random.Generator) -> int:
    return int(noise.integers(1, 12))


def _predict(recognizer: Recognizer, face: Image, draw: random.Random) -> tuple[str, Callable[[], None]]:
    given = frame(face, draw)
    return f"predict({_show(given)})", lambda: check(recognizer.predict(given))


def _batch(recognizer: Recognizer, face: Image, draw: random.Random) -> tuple[str, Callable[[], None]]:
    given = [frame(face, draw) if draw.random() < 0.3 else face for _ in range(draw.randrange(4))]

    def made() -> None:
        for faces in recognizer.predict_batch(given):
            check(faces)

    return f"predict_batch([{', '.join(map(_show, given))}])", made


def _box(draw: random.Random) -> list[Any]:
    kind = draw.random()
    if kind < 0.3:
        return [draw.uniform(-20, 40), draw.uniform(-20, 40), draw.uniform(41, 140), draw.uniform(41, 140)]
    if kind < 0.7:
        reach = draw.choice((1e3, 1e6, 1e18, 1e30, 3e38))
        return [
            draw.choice((-reach, -1.0, 0.0, 95.0)),
            draw.choice((-reach, 0.0, 50.0)),
            reach,
            draw.choice((reach, 96)),
        ]
    return [draw.choice(NUMBERS) for _ in range(draw.choice((4, 4, 4, 3, 5)))]


def _boxes(recognizer: Recognizer, face: Image, draw: random.Random) -> tuple[str, Callable[[], None]]:
    boxes: Any = [_box(draw) for _ in range(draw.choice((0, 1, 1, 2, 5)))]
    if draw.random() < 0.2:
        boxes = draw.choice((boxes[0] if boxes else 4, None, "box", np.zeros((2, 2, 4)), np.zeros((0, 7)), {1: 2}))
    return f"predict_boxes(face, {_show(boxes)})", lambda: check(recognizer.predict_boxes(face, boxes))


def _landmarks(recognizer: Recognizer, face: Image, draw: random.Random) -> tuple[str, Callable[[], None]]:
    box = np.array([[20.0, 10.0, 80.0, 90.0]])
    base = np.array([[35, 40], [65, 40], [50, 55], [38, 72], [62, 72]], np.float64)
    near = draw.choice((base[::-1], base * [1, 0] + [0, 50], base - 1e-3, base * 0 + 50, base[:, ::-1], -base + 100))
    points: Any = near + np.array([[draw.gauss(0, draw.choice((0, 1, 30))) for _ in "xy"] for _ in base])
    if draw.random() < 0.4:
        row, reach = draw.randrange(5), draw.choice((math.nan, math.inf, 1e18, -1e30, 3e38))
        points[row] = draw.choice((reach, [reach, -reach]))
        points[(row + 1) % 5] = draw.choice((-reach, 50.0))
    points = draw.choice((points[None], points[None], points[None], points, points[None, :4], [[None] * 5], "five"))
    shown = f"predict_boxes(face, {box.tolist()}, {_show(points)})"
    return shown, lambda: check(recognizer.predict_boxes(face, box, points))


def _stream(recognizer: Recognizer, face: Image, draw: random.Random) -> tuple[str, Callable[[], None]]:
    times: list[Any] = []
    for i in range(draw.randrange(2, 9)):
        wild = [draw.choice(NUMBERS), *(value for value in NUMBERS if isinstance(value, float))]
        times.append(draw.choice(wild) if draw.random() < 0.5 else i / 25 + draw.choice((0, 0, 1e9, -50)))
    frames = [frame(face, draw) if draw.random() < 0.2 else np.roll(face, i, axis=1) for i in range(len(times))]
    options = {"smoothing": draw.choice((0, 0.25, 1e-9, 1e300)), "baseline": draw.choice((0, 0.1, 1e-9, 1e300)),
               "max_gap": draw.choice((0, 1.0, 1e300)), "search_every": draw.choice((0, 1.0, 1e300))}  # fmt: skip

    def made() -> None:
        stream, kept = recognizer.stream(**options), None
        for picture, time in zip(frames, times, strict=True):
            try:
                check(stream.update(picture, time))
                check(stream.hidden)
            except ValueError as error:  # one bad frame must not spoil the next; MienErrors of input are ValueErrors
                kept = error
        faces = [len(stream.update(face, 1e6 + i / 25)) for i in range(30)]
        assert faces[-1] == 1, f"the face is not seen again after wild times: {faces}"
        if kept:
            raise kept

    return f"stream({options}).update at {times}", made


def _options(recognizer: Recognizer, face: Image, draw: random.Random) -> tuple[str, Callable[[], None]]:
    names = ("smoothing", "baseline", "max_gap", "search_every")
    options = {name: draw.choice(NUMBERS) for name in draw.sample(names, draw.randrange(1, 4))}

    def made() -> None:
        stream = recognizer.stream(**options)
        for i in range(4):
            check(stream.update(face, i / 25))

    return f"stream({options})", made


def _construct(recognizer: Recognizer, face: Image, draw: random.Random) -> tuple[str, Callable[[], None]]:
    names = ("threads", "min_face", "min_score", "min_confidence", "model", "device", "precision")
    words = ("", " ", ".", "..", "auto", "cpu", "fp32", "é", "x" * 5000, "a\0b", "/", "~", None, 3)
    options: dict[str, Any] = {"device": "cpu", "precision": "fp32", "threads": 1}
    for name in draw.sample(names, draw.randrange(1, 3)):
        options[name] = draw.choice(words if name in names[4:] else NUMBERS)

    def made() -> None:
        check(Recognizer(**options).predict(face))

    return f"Recognizer({ {name: _show(value) for name, value in options.items()} })", made


def _show(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 12:
        return f"{value.dtype} {value.shape} strides {value.strides}"
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) < 200 else f"{text[:150]}... ({type(value).__name__})"
