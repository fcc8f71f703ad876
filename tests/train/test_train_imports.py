"""Training imports downward only, package by package and within each; so does export."""

from pathlib import Path

from import_order import check_order

ROOT = Path(__file__).parents[2]
TRAINING = {
    "settings": [],
    "ranges": [],
    "recipe": [],
    "data": [
        "class_folders", "compounds", "datasets", "landmarks", "pixels", "augment", "batches", "duplicates", "mixing",
        "sets",
    ],
    "models": [
        "dlib_resnet", "emonet", "npm_weights", "short_mobilenet", "student", "checkpoints", "from_onnx", "pretrained",
        "start",
    ],
    "losses": ["labels", "bound", "features", "concordance", "distillation", "continual"],
    "loop": ["precision", "threads", "schedule", "loader", "history", "run_folder"],
    "teachers": ["base", "outputs", "networks", "onnx", "ensemble", "cache"],
    "evaluation": [
        "metrics", "predict", "affect_head", "kept_affect", "calibrate", "evaluate", "plots", "report",
    ],
    "supervised": ["objective", "opinions", "trainer", "ablate"],
    "semi": [
        "pools", "draws", "pseudo", "feedback", "step", "quality", "shares", "train", "compare", "table", "cli",
    ],
    "temporal": [
        "network", "render", "scenes", "sequences", "data", "video", "convert", "train", "filters", "evaluate",
        "pipeline", "cli",
    ],
    "finish": [],
    "continual": [
        "classes", "recipe", "folders", "sets", "network", "finish", "features", "memory", "learner", "folds",
        "variants", "figures", "compare", "by_class", "fewshot", "plot", "explain_plot", "explain", "commands", "cli",
    ],
    "cli": [],
}  # fmt: skip
MODULES_OF_EXPORT = (
    "model_card", "aside", "notes", "calibration_faces", "correction", "ranges", "parity", "proof", "quantize", "fp16",
    "openvino_ir", "exemplars", "checkpoint", "emonet", "temporal", "pack", "share", "triton", "cli",
)  # fmt: skip


def test_training_imports_downward_only() -> None:
    check_order(ROOT / "train/mien_train", TRAINING)


def test_export_imports_downward_only() -> None:
    within = {"triton": ["tensors", "config", "plans", "frame_model", "repository"]}
    check_order(ROOT / "export/mien_export", {module: within.get(module, []) for module in MODULES_OF_EXPORT})
