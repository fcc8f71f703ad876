"""Export: a trained student -> a bundle, and its smaller and faster forms."""

import mien as _mien  # noqa: F401 (turns ONNX Runtime's telemetry off before anything here imports it)
