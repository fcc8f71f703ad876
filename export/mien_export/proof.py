"""Proof that an artifact still works: it is compared with fp32 on real faces, the two running in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.engines import Engine
from mien.engines.selection import take_turns
from mien.errors import MienError
from mien.types import Floats, Image
from mien_export.calibration_faces import FaceCrops

BATCH = 32
BLOCKS = 20
FEW = 200
"""Faces below which a proof is called rough."""
MIN_AGREEMENT = 0.97
"""Share of the labels that must stay the same, where the true ones are not known."""


class ProofError(MienError, ArithmeticError):
    """An artifact differs more from fp32 than was allowed. Nothing was written."""


@dataclass(frozen=True)
class Limits:
    """The largest allowed drop of accuracy and of concordance (CCC), as fractions; the required ``speedup``, 0 for
    none."""

    accuracy_drop: float = 0.01
    ccc_drop: float = 0.02
    speedup: float = 0.0


@dataclass(frozen=True)
class Proof:
    """An artifact compared with fp32 on ONNX Runtime on the CPU. ``agreement``: share of the faces with the same label.

    ``probability_max`` and ``_mean``, ``affect_max``: absolute differences. ``accuracy``, ``ccc_valence`` and
    ``ccc_arousal``: of fp32 and of the artifact; None without labels. ``size``: bytes, as a share of fp32's.
    ``speedup``: fp32's median time for one crop divided by the artifact's, by number of threads, on ``machine``.
    ``failures``: limits that it does not meet.
    """

    artefact: str
    engine: str
    faces: int
    origin: str
    agreement: float
    probability_max: float
    probability_mean: float
    affect_max: float
    accuracy: tuple[float, float] | None
    ccc_valence: tuple[float, float] | None
    ccc_arousal: tuple[float, float] | None
    size: float
    speedup: dict[str, float]
    machine: str
    failures: list[str] = field(default_factory=list)
    forced: bool = False

    @property
    def passed(self) -> bool:
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """As the card keeps it."""
        return {**asdict(self), "passed": self.passed}


def outputs(engine: Engine, crops: Image) -> tuple[Floats, Floats]:
    """``expression`` (N, classes) and ``affect`` (N, 2) of N crops."""
    parts = [engine.run(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
    return np.concatenate([p["expression"] for p in parts]), np.concatenate([p["affect"] for p in parts])


def speed(reference: Engine, other: Engine, crop: Image) -> float:
    """Median time for one crop (1, S, S, 3) on ``reference`` divided by that on ``other``, the two running in turn."""
    times = take_turns({"reference": reference, "other": other}, crop, BLOCKS)
    return round(times["reference"] / times["other"], 2)


def prove(
    artifact: str,
    engines: Callable[[int], tuple[Engine, Engine]],
    faces: FaceCrops,
    size: float,
    limits: Limits,
    machine: str,
) -> Proof:
    """Compare an artifact with fp32. ``engines``: fp32 on ONNX Runtime and the artifact, for a number of threads."""
    reference, other = engines(1)
    (p, a), (q, b) = outputs(reference, faces.crops), outputs(other, faces.crops)
    labeled = faces.expression >= 0
    truth = faces.expression[labeled]
    accuracy = None
    if len(truth):
        accuracy = float((p[labeled].argmax(1) == truth).mean()), float((q[labeled].argmax(1) == truth).mean())
    felt = ~np.isnan(faces.affect).any(1)
    pairs = [
        (concordance(a[felt, k], faces.affect[felt, k]), concordance(b[felt, k], faces.affect[felt, k]))
        if felt.sum() > 1
        else None
        for k in (0, 1)
    ]
    proof = Proof(
        artefact=artifact,
        engine=other.name,
        faces=len(faces),
        origin=faces.origin,
        agreement=float((p.argmax(1) == q.argmax(1)).mean()),
        probability_max=float(np.abs(p - q).max()),
        probability_mean=float(np.abs(p - q).mean()),
        affect_max=float(np.abs(a - b).max()),
        accuracy=accuracy,
        ccc_valence=pairs[0],
        ccc_arousal=pairs[1],
        size=size,
        speedup={str(n): speed(*engines(n), faces.crops[:1]) for n in (1, 2)},
        machine=machine,
    )
    return Proof(**{**vars(proof), "failures": failures(proof, limits)})


def failures(proof: Proof, limits: Limits) -> list[str]:
    """The limits that ``proof`` does not meet, in words. Written so that NaN fails too."""
    found = []
    if proof.accuracy:
        fall = round(proof.accuracy[0] - proof.accuracy[1], 6)
        if not fall <= limits.accuracy_drop:
            found.append(f"accuracy falls by {fall:.4f}, more than {limits.accuracy_drop:g}")
    elif not proof.agreement >= MIN_AGREEMENT:
        found.append(f"only {proof.agreement:.1%} of the labels stay the same, less than {MIN_AGREEMENT:.0%}")
    for name, pair in (("valence", proof.ccc_valence), ("arousal", proof.ccc_arousal)):
        if pair and not pair[0] - pair[1] <= limits.ccc_drop:
            found.append(f"concordance of {name} falls by {pair[0] - pair[1]:.4f}, more than {limits.ccc_drop:g}")
    if not (np.isfinite(proof.probability_max) and np.isfinite(proof.affect_max)):
        found.append("it gives values that are not numbers")
    best = max(proof.speedup.values())
    if limits.speedup and not best >= limits.speedup:
        found.append(f"it is {best:.2f} times as fast as fp32 here, less than {limits.speedup:g}")
    return found


def concordance(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """Lin's concordance correlation coefficient (1989) of two arrays (N,), without torch, which export does not
    need."""
    x, y = predicted.astype(np.float64), truth.astype(np.float64)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    return float(2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2 + 1e-12))


def table(proofs: list[Proof]) -> str:
    """A table with a line for each artifact, for a terminal."""
    rows = [("artifact", "engine", "faces", "same label", "max dp", "mean dp", "accuracy", "CCC v/a", "size", "speed")]
    for proof in proofs:
        ccc = [pair[1] - pair[0] for pair in (proof.ccc_valence, proof.ccc_arousal) if pair]
        rows.append(
            (
                proof.artefact,
                proof.engine,
                str(proof.faces),
                f"{proof.agreement:.1%}",
                f"{proof.probability_max:.4f}",
                f"{proof.probability_mean:.5f}",
                f"{proof.accuracy[0]:.4f} -> {proof.accuracy[1]:.4f}" if proof.accuracy else "no labels",
                " / ".join(f"{value:+.3f}" for value in ccc) or "no labels",
                f"{proof.size:.0%}",
                " / ".join(f"{value:.2f}x" for value in proof.speedup.values()),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def remarks(proof: Proof) -> list[str]:
    """What a person should know about a proof, beyond its table."""
    found = []
    if proof.faces < FEW:
        found.append(f"{proof.artefact}: a rough proof, on {proof.origin}; --data FACES gives a better one")
    if max(proof.speedup.values()) < 1:
        found.append(
            f"{proof.artefact}: slower than fp32 on this machine ({proof.engine}); measure on yours with fer-doctor, "
            "and device auto will not pick it where it is slower"
        )
    return found
