"""How large and how quick to import is ``pip install ".[cpu]"`` in an empty virtual environment?

python benchmarks/install.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = "import sys, time; t = time.perf_counter(); import mien; print(time.perf_counter() - t, *sys.modules)"


def folder_mb(path: Path) -> float:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        env = Path(temporary) / "env"
        subprocess.run([sys.executable, "-m", "venv", env], check=True)
        empty = folder_mb(env)
        start = time.perf_counter()
        subprocess.run([env / "bin/pip", "install", "--quiet", f"{ROOT}[cpu]"], check=True)
        seconds = time.perf_counter() - start
        size = folder_mb(env)
        packages = subprocess.run(
            [env / "bin/pip", "list", "--format=json"], capture_output=True, text=True, check=True
        )
        # In turn with a bare interpreter's import of numpy and cv2, which mien cannot do without.
        times, modules = [], set()
        for _ in range(9):
            out = subprocess.run([env / "bin/python", "-c", CODE], capture_output=True, text=True, check=True).stdout
            times.append(float(out.split()[0]))
            modules = {name.split(".")[0] for name in out.split()[1:]}
    report = {
        "command": "python benchmarks/install.py",
        "environment MB": round(size, 1),
        "of which the empty environment": round(empty, 1),
        "packages": {p["name"]: p["version"] for p in json.loads(packages.stdout)},
        "install seconds": round(seconds, 1),
        "import mien, median seconds of 9": round(sorted(times)[4], 3),
        "torch or onnx imported": sorted(modules & {"torch", "onnx", "timm"}),
    }
    (ROOT / "benchmarks/results/install.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
