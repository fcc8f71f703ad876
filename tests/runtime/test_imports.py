"""Who may import whom: checked on what a fresh process really loads, and on every import statement."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from import_order import check_order, imports

ROOT = Path(__file__).parents[2]
# The packages of the runtime from the lowest up, and the modules of each: one imports what stands before it.
PACKAGES = {
    "errors": [],
    "packages": [],
    "paths": [],
    "per_process": [],
    "terminal": [],
    "types": [],
    "validation": [],
    "files": [],
    "schema": [],
    "align": [],
    "bundle": ["card"],
    "engines": [
        "cores", "providers", "ort_session", "ort", "ov", "memory_bindings", "memory_pycuda", "device_memory",
        "trt_plan", "trt_execution", "trt", "golden", "head", "selection", "graph", "shared",
    ],
    "enrollment": ["votes", "neutral", "reference_faces", "classes", "storage", "fitting", "judging", "learn"],
    "vision": ["frames", "orientation", "detector", "expression", "examples"],
    "tracking": ["options", "tracker", "smoothing", "face_state", "temporal", "offline", "stream"],
    "enrolling": [],
    "recognizer": [],
    "sources": [
        "privacy", "boxes", "stills", "stills.kinds", "stills.layout", "stills.packed", "stills.tags", "stills.jpeg",
        "stills.png", "stills.webp", "stills.tiff", "stills.boxes", "stills.jpeg2000", "stills.pnm",
        "stills.bmp", "stills.heif", "stills.decoder", "stills.motion", "images", "folders", "timestamps",
        "base", "animation", "pixels", "decoders.geometry", "decoders.unwritten", "decoders.opencv",
        "decoders.pyav", "decoders", "mp4_index", "completeness", "video", "live_reader", "live", "connections",
        "pipelines", "web_files", "snapshots", "addresses", "rotation", "factory", "several", "demo",
    ],
    "streams": [],
    "drawing": ["sprites", "faces", "plot"],
    "sinks": [
        "paths", "records", "parquet", "mp4_boxes", "fragmented_mp4", "encoder", "media", "summary", "events", "outbox",
        "unreachable", "home_assistant", "mqtt_address", "mqtt_connection", "mqtt", "webhook_request", "webhook",
    ],
    "web": ["address", "counters", "metrics", "broadcaster", "channel", "viewers", "guard", "app", "server"],
    "diagnostics": ["jetson", "machine", "selftest", "checkup"],
    "bench": ["timing", "scene", "engines", "worker", "clip", "table", "report"],
    "batch": [
        "inputs", "stores", "listing", "settings", "rows", "tables", "pieces", "segments", "reader", "folder",
        "processes", "cluster", "run", "report",
    ],
    "cli": [
        "console", "numbers", "parser", "model_options", "source_options", "signals", "publishing", "options", "inputs",
        "results", "fer_run", "together", "fer_batch", "enroll", "doctor", "programs", "__main__",
    ],
}  # fmt: skip
FRAMEWORKS = {"torch", "torchvision", "timm", "onnx", "datasets", "matplotlib", "mien_train", "mien_export", "skimage"}


@pytest.mark.parametrize(
    "statement", ["import mien", "import mien.cli.fer_run", "import mien.recognizer, mien.engines.ort"]
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
    check_order(ROOT / "runtime/mien", PACKAGES)


def test_a_recognizer_loads_no_application() -> None:
    code = "import sys, mien; mien.Recognizer; print(*(name for name in sys.modules if name.startswith('mien.')))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[1] for name in result.stdout.split()}
    assert not loaded & {"cli", "web", "bench", "sinks", "drawing", "diagnostics", "sources"}


def test_an_engine_never_imports_its_parent() -> None:
    for path in (ROOT / "runtime/mien/engines").glob("*.py"):
        if path.stem not in ("__init__", "golden", "head", "selection", "shared"):
            assert "mien.engines" not in imports(path)
    at_once = imports(ROOT / "runtime/mien/engines/__init__.py", True)
    light = ("mien.engines.cores", "mien.engines.providers")  # which import no library
    assert not {name for name in at_once if name.startswith("mien.engines.") and not name.startswith(light)}


def test_runtime_training_and_export_keep_apart() -> None:
    for path in (ROOT / "runtime").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & FRAMEWORKS, path
    for path in (ROOT / "train").rglob("*.py"):
        assert "mien_export" not in {name.split(".")[0] for name in imports(path)}, path
    for path in (ROOT / "export").rglob("*.py"):
        if path.stem not in ("checkpoint", "emonet", "temporal"):
            assert not {name.split(".")[0] for name in imports(path)} & {"mien_train", "torch", "timm"}, path
