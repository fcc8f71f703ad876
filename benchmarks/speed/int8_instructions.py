"""What INT8 is worth with smaller instruction sets: speed and exactness of OpenVINO, held to each in turn.

    python -m benchmarks.speed.int8_instructions

OpenVINO's kernels (oneDNN) heed ``ONEDNN_MAX_CPU_ISA``, so one processor stands in for older ones: the instructions are
theirs, caches and clock are not. ONNX Runtime's kernels (MLAS) know no such variable, and neither library can play Arm
on x86. Sets that this processor lacks itself are left out. Writes ``benchmarks/results/int8_instructions.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.common import ROOT, add_model, add_out, command_parser, heading, in_turn, write_report
from mien.bundle import find_bundle
from mien.engines.cores import features
from mien.engines.golden import INT8_WRONG, check, golden_crops

SETS = {
    "SSE41": ("sse4_1",),
    "AVX2": ("avx2",),
    "AVX2_VNNI": ("avx_vnni",),
    "AVX512_CORE": ("avx512bw",),
    "AVX512_CORE_VNNI": ("avx512_vnni",),
    "AVX512_CORE_AMX": ("amx_int8",),
}
"""oneDNN's name of an instruction set -> Linux's names of what it needs."""


def main() -> None:
    parser = command_parser("speed.int8_instructions", __doc__)
    add_model(parser)
    parser.add_argument("--rounds", type=int, default=200)
    add_out(parser, "int8_instructions.json")
    args = parser.parse_args()
    there = features()
    report = {
        **heading(f"{parser.prog} --rounds {args.rounds}", "openvino"),
        "sets": {name: held_to(name, args.model, args.rounds) for name, needs in SETS.items() if there >= set(needs)},
    }
    print(json.dumps(report, indent=2))
    write_report(args.out, report)


def held_to(name: str, model: str, rounds: int) -> dict[str, Any]:
    """The figures of a process of its own, because oneDNN looks at the variable once."""
    code = f"import json; from {__spec__.name} import measure; print(json.dumps(measure({model!r}, {rounds})))"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": name}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(model: str, rounds: int) -> dict[str, Any]:
    """One crop at a time on one thread, fp32 and int8 in turn, and how far int8 is from the golden outputs."""
    from mien.engines.ov import OvEngine  # after the variable is set

    bundle = find_bundle(model)
    engines = {name: OvEngine(bundle.model_file(name, "openvino"), threads=1) for name in ("fp32", "int8")}
    crop = golden_crops(bundle.card.crop.size)[:1]
    taken = in_turn({name: lambda e=engine: e.run(crop) for name, engine in engines.items()}, rounds, warm_up=5)
    fp32, int8 = (float(np.median(taken[name])) for name in ("fp32", "int8"))
    gap = (check(engines["int8"], bundle) or {})["expression"]
    return {
        "fp32 over int8": round(fp32 / int8, 2),
        "milliseconds": {"fp32": round(1e3 * fp32, 3), "int8": round(1e3 * int8, 3)},
        "largest difference of a probability": round(gap, 3),
        "used": gap <= INT8_WRONG,
    }


if __name__ == "__main__":
    main()
