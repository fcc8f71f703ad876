"""Does a real Triton server load what ``fer-export --triton`` writes, and find the faces that mien finds?

    python -m benchmarks.reliability.triton

Takes the server of NVIDIA's wheel ``nvidia-pytriton``, which has the Python backend alone, for Linux on x86-64. The
backend ``onnxruntime`` is a stand-in in Python (``in_triton/model.py``): the server's own checks, batching, warm-up and
calls between models are real, ONNX Runtime is too, but NVIDIA's C++ around it is not, and no GPU is. mien is installed
in an environment of its own, in the cache folder, with the NumPy 1 that this server needs. Writes
``benchmarks/results/triton.json``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, add_out, command_parser, heading, write_report
from mien.files import cache_folder
from mien.sources.demo import demo_picture
from mien_export.triton.repository import write_repository

WHEEL = "nvidia-pytriton==0.7.0"
HERE = Path(__file__).with_name("in_triton")
PATIENCE_S = 90


def main() -> None:
    parser = command_parser("reliability.triton", __doc__)
    parser.add_argument(
        "--cache", type=Path, default=cache_folder() / "triton", help="folder of server and environment"
    )
    add_out(parser, "triton.json")
    args = parser.parse_args()
    server, python = installed(args.cache)
    with tempfile.TemporaryDirectory() as folder:
        repository, log = Path(folder) / "models", Path(folder) / "log"
        write_repository("default", repository)
        with serving(server, python, repository, log) as address:
            found = asked(python, address)
        executed = [tuple(map(int, words)) for words in re.findall(r"EXECUTED mien_student (\d+) (\d+)", _text(log))]
    report = {
        **heading(parser.prog),
        "wheel": WHEEL,
        **found,
        "calls of the student by requests and crops": sorted({f"{r} requests, {n} crops" for r, n in executed}),
    }
    write_report(args.out, report)
    print(json.dumps(report, indent=2))


def installed(cache: Path) -> tuple[Path, Path]:
    """The folder of the server, and the Python of the environment that its models run in."""
    server, env = cache / WHEEL, cache / "env"
    if not (server / "ready").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), WHEEL])
        (wheel,) = cache.glob("nvidia_pytriton-*.whl")
        zipfile.ZipFile(wheel).extractall(server)
        _prepare(server / "pytriton/tritonserver")
        (server / "ready").touch()
    shutil.rmtree(env, ignore_errors=True)  # mien may have changed
    _run([sys.executable, "-m", "venv", str(env)])
    _run([str(env / "bin/pip"), "install", "-q", "numpy<2", f"{ROOT}[cpu]", "tritonclient[grpc]"])
    return server, env / "bin/python"


def _prepare(server: Path) -> None:
    """Put the Python backend's program for this Python in its place, and the stand-in beside it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    program = server / "backends/python/triton_python_backend_stub"
    shutil.copyfile(server / "python_backend_stubs" / version / program.name, program)
    for path in (program, server / "bin/tritonserver"):
        path.chmod(0o755)
    (server / "backends/onnxruntime").mkdir()
    shutil.copyfile(HERE / "model.py", server / "backends/onnxruntime/model.py")


@contextmanager
def serving(server: Path, python: Path, repository: Path, log: Path) -> Iterator[str]:
    """A running server; its gRPC address."""
    port = _free_port()
    command = [
        str(server / "pytriton/tritonserver/bin/tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={server / 'pytriton/tritonserver/backends'}",
        "--grpc-address=127.0.0.1", f"--grpc-port={port}", "--allow-http=false", "--allow-metrics=false",
        "--disable-auto-complete-config",
    ]  # fmt: skip
    libraries = str(server / "nvidia_pytriton.libs")
    environment = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    environment = {**environment, "LD_LIBRARY_PATH": libraries, "HOME": str(repository.parent)}
    environment.pop("PYTHONPATH", None)
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + PATIENCE_S
        while "Started GRPCInferenceService" not in _text(log):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server did not start:\n{_text(log)[-4000:]}")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def asked(python: Path, address: str) -> dict[str, Any]:
    """What the client found; it runs in the environment of the server's models, so that both have one OpenCV."""
    words = [str(python), str(HERE / "client.py"), address, str(demo_picture())]
    done = _run(words, cwd=python.parent)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-2000:]}")
    return done


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
