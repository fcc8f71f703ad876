"""What came of the inputs of the fuzzer: figures a kind, refusals, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import heading
from benchmarks.reliability.fuzz.cases import KINDS
from benchmarks.reliability.fuzz.names import SETTINGS

MOST = 12
"""Refusals of a kind that are listed."""


def summary(answers: Sequence[dict[str, Any]], command: str, seconds: float) -> dict[str, Any]:
    kinds = {}
    for kind in KINDS:
        mine = [answer for answer in answers if answer["kind"] == kind]
        results = [answer["result"] for answer in mine]
        slowest = max(mine, key=lambda answer: float(answer["seconds"]), default={"seconds": 0.0, "index": None})
        kinds[kind] = {
            "count": len(mine),
            **{result: results.count(result) for result in ("ok", "refused", "failed")},
            "compared": sum(bool(answer.get("compared")) for answer in mine),
            "read wrongly": sum(answer.get("why", "").startswith("read wrongly") for answer in mine),
            "mean, s": round(float(np.mean([answer["seconds"] for answer in mine] or [0])), 3),
            "slowest, s": slowest["seconds"],
            "the slowest": slowest["index"],
            "most memory, MiB": round(max((answer["peak"] for answer in mine), default=0) / 2**20),
        }
    refusals = {
        kind: dict(Counter(a["words"] for a in answers if a["kind"] == kind and "words" in a).most_common(MOST))
        for kind in KINDS
    }
    noise = [f"{answer['index']}: {line[:200]}" for answer in answers for line in answer.get("noise", [])]
    return {
        **heading(command, "onnxruntime", "pillow", "av"),
        "minutes": round(seconds / 60, 1),
        "kinds": kinds,
        "locales": [" ".join(f"{name}={value}" for name, value in one.items()) for one in SETTINGS],
        "most frequent refusals": refusals,
        "inputs run again after a pause": [answer["index"] for answer in answers if answer.get("again")],
        "failures": [answer for answer in answers if answer["result"] == "failed"],
        "inputs with lines of libraries on stderr": len({line.partition(":")[0] for line in noise}),
        "some of those lines": noise[:10],
    }


def table(report: dict[str, Any]) -> str:
    names = (
        "count",
        "ok",
        "refused",
        "failed",
        "compared",
        "read wrongly",
        "mean, s",
        "slowest, s",
        "most memory, MiB",
    )
    lines = [f"{'':<14}" + "".join(f"{name:>17}" for name in names)]
    for kind, row in report["kinds"].items():
        lines.append(f"{kind:<14}" + "".join(f"{row[name]:>17}" for name in names))
    return "\n".join(lines)
