"""Golden outputs: drawn pictures, and the model's outputs for them that a bundle stores, to check another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle
from mien.engines import Engine
from mien.errors import ModelInvalid
from mien.types import Floats, Image

GOLDEN = "golden.json"
PICTURES = 1
"""Raise this whenever ``golden_crops`` draws different pictures, because outputs for old ones do not apply to new."""
OUTPUTS = ("expression", "affect")
"""Outputs that are compared, if the model was trained on them."""
TOLERANCES = {"fp32": 1e-3, "fp16": 0.01, "int8": 0.15}
"""By precision, the largest difference of a probability from the exported fp32 model's. Valence and arousal, whose
range is twice as wide, may differ twice as much. Kernels for int8 differ between processors, so exceeding that limit is
only a warning."""

INT8_WRONG = 0.3
"""Difference of a probability from which on an int8 model is not run: kernels that overflow make it 0.4 and more, and
lose 15 points of accuracy."""

Ints = NDArray[np.int64]


def golden_crops(size: int) -> Image:
    """uint8 RGB (6, size, size, 3): five drawn faces with different light and expressions, and one pattern.

    They are computed with integers only, so that the bytes are the same on every machine and with every numpy.
    """
    places = (2 * np.arange(size, dtype=np.int64) + 1) * 512 // size - 512
    u, v = np.meshgrid(places, places)  # from -512 to 511, left to right and top to bottom
    faces = [
        _face(u, v, skin=(224, 172, 140), ground=(70, 90, 120), light=60, smile=110, gape=16, brow=0, lid=34),
        _face(u, v, skin=(120, 80, 60), ground=(190, 190, 180), light=-40, smile=-90, gape=14, brow=-60, lid=26),
        _face(u, v, skin=(240, 200, 180), ground=(30, 40, 36), light=20, smile=0, gape=110, brow=0, lid=64),
        _face(u, v, skin=(190, 130, 100), ground=(110, 100, 96), light=-70, smile=-40, gape=34, brow=90, lid=24),
        _face(u, v, skin=(90, 86, 96), ground=(16, 20, 28), light=90, smile=0, gape=12, brow=0, lid=30),
    ]
    waves = [_wave(3 * u + v, 700), _wave(v - 2 * u, 900), _wave(u + 4 * v, 1100)]
    pictures = [*faces, np.stack(waves, axis=-1)]
    grain = (u * 7 + v * 13 + u * v // 64) % 15 - 7
    crops: Image = np.clip(np.stack(pictures) + grain[..., None], 0, 255).astype(np.uint8)
    return crops


def golden_text(outputs: Mapping[str, Floats]) -> str:
    """The content of ``golden.json``. ``outputs``: of the fp32 model for ``golden_crops``: expression (6, classes) and,
    if it has this output, affect (6, 2)."""
    rows = {name: np.asarray(outputs[name], np.float64).round(6).tolist() for name in OUTPUTS if name in outputs}
    return json.dumps({"pictures": PICTURES, **rows}, indent=1) + "\n"


def check(engine: Engine, bundle: Bundle) -> dict[str, float] | None:
    """The largest absolute differences of ``expression`` and ``affect`` from the bundle's golden outputs.

    Infinite if the engine returns values that are not finite; None if the bundle holds no golden outputs. Raises
    ModelInvalid if their file is altered or broken, or does not have the shape of the engine's outputs.
    """
    golden = read_golden(bundle)
    if golden is None:
        return None
    outputs = engine.run(golden_crops(bundle.card.crop.size))
    differences = {}
    for name, expected in golden.items():
        if name not in outputs or outputs[name].shape != expected.shape:
            shape = outputs[name].shape if name in outputs else "missing"
            raise ModelInvalid(f"the output {name} of {engine.name} is {shape}, but {GOLDEN} holds {expected.shape}")
        gap = float(np.abs(outputs[name] - expected).max())
        differences[name] = gap if np.isfinite(gap) else float("inf")
    return differences


def agrees(differences: Mapping[str, float], precision: str) -> bool:
    """Whether the result of ``check`` is within TOLERANCES."""
    limit = TOLERANCES[precision]
    return differences["expression"] <= limit and differences.get("affect", 0.0) <= 2 * limit


def read_golden(bundle: Bundle) -> dict[str, NDArray[np.float64]] | None:
    """The golden outputs of a bundle: expression (6, classes) and, if the model has it, affect (6, 2). None if there is
    no such file. Raises ModelInvalid if it is broken."""
    if GOLDEN not in bundle.card.files:
        return None
    path = bundle.verified(GOLDEN)
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        pictures = values["pictures"]
        names = [name for name in OUTPUTS if name in bundle.card.outputs]
        golden = {name: np.asarray(values[name], np.float64) for name in names}
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ModelInvalid(f"{path} is not a file of golden outputs ({error!r}); export the bundle again") from error
    if pictures != PICTURES:
        raise ModelInvalid(f"{path} is for pictures {pictures!r}, this mien draws {PICTURES}; export the bundle again")
    count = len(golden_crops(16))
    for name, value in golden.items():
        width = bundle.card.outputs[name]
        if value.shape != (count, width) or not np.isfinite(value).all():
            raise ModelInvalid(f"{path}: {name} must be {count} x {width} numbers; export the bundle again")
    return golden


def _face(
    u: Ints, v: Ints, *, skin: tuple[int, ...], ground: tuple[int, ...], light: int, smile: int, gape: int,
    brow: int, lid: int,
) -> Ints:  # fmt: skip
    """(size, size, 3). ``smile``: how far the corners of the mouth are raised. ``gape``: how far the mouth is open.
    ``lid``: how far the eyes are open. ``brow``: how far the inner ends of the brows are lowered. ``light``: how much
    brighter the right side is."""
    tone = np.array(skin, np.int64)
    picture = np.array(ground, np.int64) + (v // 16)[..., None]
    picture = _paint(picture, _ellipse(u, v, (0, -60), (440, 500)), tone // 4)  # hair
    picture = _paint(picture, _ellipse(u, v, (0, 40), (370, 450)), tone + (u * light // 512)[..., None])
    picture = _paint(picture, _ellipse(u, v, (0, 90), (46, 110)) // 3, tone * 3 // 2)  # nose
    for side in (-1, 1):
        eye, inward = (side * 160, -70), (150 - side * u) * brow // 200
        picture = _paint(picture, _ellipse(u, v, eye, (84, lid)), (236, 234, 230))
        picture = _paint(picture, _ellipse(u, v, eye, (34, min(lid, 40))), (40, 30, 26))
        picture = _paint(picture, _ellipse(u, v - inward, (side * 160, -170), (110, 22)), tone // 4)
    bent = v + smile * u * u // 180**2 - smile // 2
    picture = _paint(picture, _ellipse(u, bent, (0, 260), (180, gape + 20)), (176, 70, 74))  # lips
    return _paint(picture, _ellipse(u, bent, (0, 260), (150, gape)), (60, 16, 22))


def _ellipse(u: Ints, v: Ints, middle: tuple[int, int], half: tuple[int, int]) -> Ints:
    """The weight of an ellipse: 0 outside, 256 inside, with a soft edge."""
    (x, y), (a, b) = middle, half
    weight: Ints = np.clip(2 * (1024 - (u - x) ** 2 * 1024 // a**2 - (v - y) ** 2 * 1024 // b**2), 0, 256)
    return weight


def _paint(picture: Ints, weight: Ints, color: Ints | tuple[int, int, int]) -> Ints:
    return picture + (np.asarray(color, np.int64) - picture) * weight[..., None] // 256


def _wave(phase: Ints, length: int) -> Ints:
    """A smooth wave from 0 to 255 and back, with a period of ``length``."""
    part: Ints = np.abs(phase % length * 512 // length - 256)  # 256 to 0 to 256
    return part * part * (768 - 2 * part) // 2**16 * 255 // 256
