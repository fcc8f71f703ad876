"""How large and how quick to import is mien in an empty environment, and are its peers?

    python -m benchmarks.speed.install
    python -m benchmarks.speed.install --only mien

Each is installed by pip into a virtual environment of its own, as its documentation says for the CPU; what pip would
download more than 1 GB for is left out, and said. Import times are medians of several fresh processes, all packages in
turn: what is imported is what reads a face, with the engine below it. mien imports its engine when it is first used, so
``import mien`` alone is timed as well. Writes ``benchmarks/results/install.json`` and a plot.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.common import ROOT, add_out, command_parser, heading, write_report

MOST = 1e9
"""Bytes to download, beyond which a peer is left out."""
ROUNDS = 9
FRAMEWORKS = {"torch", "onnx", "timm", "tensorflow", "keras"}
PACKAGES = {
    "mien": ([f"{ROOT}[cpu]"], "import mien, onnxruntime"),
    "hsemotion-onnx": (["hsemotion-onnx"], "from hsemotion_onnx.facial_emotions import HSEmotionRecognizer"),
    "emotiefflib": (["emotiefflib"], "from emotiefflib.facial_analysis import EmotiEffLibRecognizerOnnx"),
    "deepface": (["deepface", "werkzeug"], "from deepface import DeepFace"),
    "py-feat": (["py-feat"], "from feat import Detector"),
    "fer": (["fer"], "from fer import FER"),
}
"""Name -> what pip installs, and what its users import. emotiefflib's ONNX path is its plain
install. deepface 0.0.103 imports werkzeug, and does not ask for it."""
CODE = "import sys, time; t = time.perf_counter(); {}; print('took', time.perf_counter() - t, *sys.modules)"


def main() -> None:
    parser = command_parser("speed.install", __doc__)
    parser.add_argument("--only", nargs="*", choices=PACKAGES, default=list(PACKAGES))
    add_out(parser, "install.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made, empty = {}, 0.0
        for name in args.only:
            print(f"installing {name}", flush=True)
            env = Path(temporary) / name
            subprocess.run([sys.executable, "-m", "venv", env], check=True)
            empty = folder_mb(env)
            made[name] = install(name, env)
        there = [name for name in made if "left out" not in made[name]]
        codes = {name: (Path(temporary) / name, PACKAGES[name][1]) for name in there}
        if "mien" in there:
            codes["import mien alone"] = (Path(temporary) / "mien", "import mien")
        times, modules = import_times(codes)
    for name in there:
        made[name]["import seconds"] = times.get(name)
        made[name]["frameworks imported"] = modules.get(name)
    report = {
        **heading(parser.prog),
        "note": "environment MB is all of the environment; import seconds is the median of fresh processes, in turn",
        "of which the empty environment": round(empty, 1),
        "import mien alone, seconds": times.get("import mien alone"),
        "packages": made,
    }
    write_report(args.out, report)
    show(report)
    plot({name: made[name] for name in there}, args.out.with_suffix(".png"))


def install(name: str, env: Path) -> dict[str, Any]:
    """Install into ``env`` and measure; or why it was left out."""
    wanted, _ = PACKAGES[name]
    pip = [str(env / "bin" / "pip"), "install", "--quiet"]
    if name != "mien":
        planned = env / "plan.json"
        dry = run([*pip, "--dry-run", "--ignore-installed", "--report", str(planned), *wanted])
        if dry.returncode:
            return {"left out": f"pip finds no way to install it here: {last_line(dry.stderr)}"}
        size = download_bytes(json.loads(planned.read_text(encoding="utf-8")))
        planned.unlink()
        if size > MOST:
            return {"left out": f"pip would download {size / 1e9:.1f} GB", "download MB": round(size / 1e6, 1)}
    start = time.perf_counter()
    done = run([*pip, *wanted])
    if done.returncode:
        return {"left out": f"pip fails: {last_line(done.stderr)}"}
    seconds = time.perf_counter() - start
    listed = run([str(env / "bin" / "pip"), "list", "--format=json"])
    packages = {package["name"]: package["version"] for package in json.loads(listed.stdout)}
    return {
        "environment MB": round(folder_mb(env), 1),
        "number of packages": len(set(packages) - {"pip", "setuptools", "wheel"}),
        "install seconds": round(seconds, 1),
        "packages": packages,
    }


def download_bytes(plan: dict[str, Any]) -> int:
    """Of all files that pip's report names; a header from each one's server tells its size."""
    total = 0
    for item in plan["install"]:
        request = urllib.request.Request(item["download_info"]["url"], method="HEAD")
        if request.type == "file":
            total += Path(urllib.request.url2pathname(request.selector)).stat().st_size
            continue
        with urllib.request.urlopen(request, timeout=60) as answer:
            total += int(answer.headers["Content-Length"])
    return total


def import_times(codes: dict[str, tuple[Path, str]]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Median seconds of each import, or why it fails; and which of FRAMEWORKS it loads."""
    times: dict[str, list[float]] = {name: [] for name in codes}
    failed: dict[str, str] = {}
    loaded: dict[str, list[str]] = {}
    for turn in range(ROUNDS + 1):
        for name, (env, code) in codes.items():
            if name in failed:
                continue
            # Not from the repository: a folder there must not be taken for an installed package.
            done = run([str(env / "bin" / "python"), "-c", CODE.format(code)], cwd=env)
            if done.returncode:
                failed[name] = f"import fails: {last_line(done.stderr)}"
                continue
            words = done.stdout[done.stdout.rindex("took") :].split()
            loaded[name] = sorted({word.split(".")[0] for word in words[2:]} & FRAMEWORKS)
            if turn:  # the first writes the compiled files
                times[name].append(float(words[1]))
    medians = {name: round(statistics.median(values), 3) for name, values in times.items() if values}
    return {**medians, **failed}, loaded


def run(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]


def folder_mb(path: Path) -> float:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6


def show(report: dict[str, Any]) -> None:
    print(f"{'package':20}{'MB':>9}{'packages':>10}{'import s':>10}  frameworks imported")
    for name, row in report["packages"].items():
        if "left out" in row:
            print(f"{name:20}left out: {row['left out']}")
        else:
            loaded = ", ".join(row["frameworks imported"] or []) or "none"
            figures = f"{row['environment MB']:9.1f}{row['number of packages']:10}{row['import seconds']!s:>10}"
            print(f"{name:20}{figures}  {loaded}")
    print(f"import mien, without its engine: {report['import mien alone, seconds']} s")


def plot(rows: dict[str, Any], path: Path) -> None:
    """Size and import time, a bar a package."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 0.8 + 0.5 * len(rows)), sharey=True, layout="constrained")
    names = list(rows)[::-1]
    for axis, key, title in zip(
        axes, ("environment MB", "import seconds"), ("environment, MB", "import, seconds"), strict=True
    ):
        for name in names:
            value = rows[name][key]
            if isinstance(value, (int, float)):
                axis.barh(name, value, color="#c0392b" if name == "mien" else "#34495e")
                axis.text(value, name, f" {value:.3g}", va="center", fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
