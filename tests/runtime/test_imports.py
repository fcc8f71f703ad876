"""Who may import whom: checked on what a fresh process really loads, and on every import statement."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = [
    "errors", "per_process", "packages", "paths", "privacy", "console", "starting", "faces", "checks", "frames",
    "cores", "align", "card", "bundle", "engines", "engines.ort", "engines.ov", "engines.trt_plan", "engines.trt",
    "choice", "stills", "stills.kinds", "stills.layout", "stills.packed", "stills.tags", "stills.jpeg", "stills.png",
    "stills.webp", "stills.tiff", "stills.boxes", "stills.jpeg2000", "stills.pnm", "stills.bmp", "stills.heif",
    "stills.decoder", "stills.motion", "images", "listing", "timestamps", "sources", "animation", "outputs",
    "righting", "detector", "baseline", "exemplars", "personal", "personal_file", "fitting", "enrolment", "expression",
    "examples", "tracker", "smoothing", "person", "engines.graph", "temporal", "offline", "stream", "recognizer",
    "pixels", "decoders.geometry", "decoders.unwritten", "decoders.opencv", "decoders.pyav", "decoders", "movie",
    "endings", "video", "live", "connections", "pipelines", "asking", "snapshots", "addresses", "turning", "opening",
    "sprites", "draw", "sinks", "mp4", "encoder", "annotated", "plot", "journal", "web.address", "web.counters",
    "web.feed", "web.guard", "web.app", "web.server", "web", "report", "demo", "options", "interruptions", "wanted",
    "results", "running", "cli", "enroll", "golden", "machine", "selftest", "checkup", "doctor", "bench.timing",
    "bench.scene", "bench.engines", "bench.way", "bench.clip", "bench.table", "bench.report", "bench", "programs",
]  # fmt: skip
FRAMEWORKS = {"torch", "torchvision", "timm", "onnx", "datasets", "matplotlib", "mien_train", "mien_export", "skimage"}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "runtime/mien").with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize(
    "statement", ["import mien", "import mien.running", "import mien.recognizer, mien.engines.ort"]
)
def test_a_fresh_process_loads_no_framework(statement: str) -> None:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & FRAMEWORKS


def test_importing_mien_needs_no_engine(tiny_bundle: Path) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = sys.modules['openvino'] = None; import mien\n"
        "try: mien.Recognizer(sys.argv[1])\n"
        "except ImportError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tiny_bundle)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 'pip install "mien[cpu]"' in result.stdout


@pytest.mark.parametrize("statement", ["import mien.engines.ort", "import mien_export.quantize"])
def test_onnx_runtime_is_told_to_send_nothing_before_it_loads(statement: str, tmp_path: Path) -> None:
    """With its telemetry on it leaves a session id, ``.ses``, in the folder for temporary files."""
    environment = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "CI")}
    code = f"{statement}; import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, env=environment | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "1"
    assert not (tmp_path / ".ses").exists()


def test_openvino_is_given_nothing_to_send_with() -> None:
    pytest.importorskip("openvino")
    code = "import sys, mien.engines.ov; print(sys.modules.get('openvino_telemetry'))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "None"


def test_the_runtime_imports_downward_only() -> None:
    for path in (ROOT / "runtime/mien").rglob("*.py"):
        name = module_name(path)
        if name == "__init__":
            continue
        assert name in FLOORS, f"{name} has no floor yet: add it to FLOORS and to ARCHITECTURE.md"
        for used in imports(path):
            if used.startswith("mien.") and (target := used.removeprefix("mien.")) in FLOORS:
                lazily_upward = name == "engines" and target.startswith("engines.")
                assert lazily_upward or FLOORS.index(target) < FLOORS.index(name), f"{name} imports {target}"


def test_an_engine_never_imports_its_parent() -> None:
    for path in (ROOT / "runtime/mien/engines").glob("*.py"):
        if path.stem != "__init__":
            assert "mien.engines" not in imports(path)
    assert not {n for n in imports(ROOT / "runtime/mien/engines/__init__.py", True) if n.startswith("mien.engines")}


def test_wings_keep_to_their_own() -> None:
    for path in (ROOT / "runtime").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & FRAMEWORKS, path
    for path in (ROOT / "train").rglob("*.py"):
        assert "mien_export" not in {name.split(".")[0] for name in imports(path)}, path
    for path in (ROOT / "export").rglob("*.py"):
        if path.stem not in ("checkpoint", "emonet", "temporal"):
            assert not {name.split(".")[0] for name in imports(path)} & {"mien_train", "torch", "timm"}, path
