"""The ``config.pbtxt`` of each model. Format:
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html"""

from __future__ import annotations

from collections.abc import Iterable

from mien.bundle.card import ModelCard
from mien_export.triton import Backend
from mien_export.triton.tensors import Tensor, Tensors

DETECTOR, STUDENT, FRAMES = "mien_detector", "mien_student", "mien"
"""Names of the models: YuNet, the expression model, and frame -> faces."""
MOST_CROPS = 32
"""Crops that the expression model takes at once, of one request or of several."""
WARM_UP_PICTURE = (384, 640)
"""Height and width of the search of a 16:9 frame."""
WARM_UP_WINDOW = (160, 160)
"""Height and width of the search for a turned face."""


def detector(tensors: Tensors, backend: Backend) -> str:
    """YuNet. Its graph takes one picture at a time, so that requests are not batched."""
    image = tensors.inputs[0]
    threads = _parameters({"intra_op_thread_count": "1"}) if backend == "onnxruntime" else ""
    shapes = ((1, *sides, 3) for sides in (WARM_UP_PICTURE, WARM_UP_WINDOW))
    return f"""\
# The face detector YuNet: uint8 BGR, height and width multiples of 32 px. Its outputs are decoded by {FRAMES}.
{_head(DETECTOR, backend, 0)}
{_tensors("input", tensors.inputs)}
{_tensors("output", tensors.outputs)}
# More instances search several frames at a time. For such small layers two threads are slower than one.
instance_group [ {{ count: 2 kind: KIND_AUTO }} ]
{threads}{_warm_up(image, shapes, 0)}"""


def student(tensors: Tensors, card: ModelCard, backend: Backend, labels: str) -> str:
    """The expression model. ``labels``: name of the file with its classes, one a line."""
    outputs = [tensor.without_batch for tensor in tensors.outputs if tensor.name in card.outputs]
    (crops,) = (tensor.without_batch for tensor in tensors.inputs)
    return f"""\
# {card.name}: uint8 RGB crops that mien aligned ->
# calibrated probabilities, affect (valence and arousal, -1 to 1), and an embedding.
{_head(STUDENT, backend, MOST_CROPS)}
{_tensors("input", [crops])}
{_tensors("output", outputs, {"expression": labels})}
# Crops of several requests are read together. A request waits at most this long for others.
dynamic_batching {{ preferred_batch_size: [ 4, 8, 16 ] max_queue_delay_microseconds: 500 }}
instance_group [ {{ count: 1 kind: KIND_AUTO }} ]
{_warm_up(crops, (crops.dims, crops.dims), MOST_CROPS)}"""


def frames(card: ModelCard) -> str:
    """Frame -> faces, on the Python backend."""
    outputs = [
        Tensor("box", "TYPE_FP32", (-1, 4)),
        Tensor("landmarks", "TYPE_FP32", (-1, 5, 2)),
        Tensor("score", "TYPE_FP32", (-1,)),
        Tensor("label", "TYPE_STRING", (-1,)),
        Tensor("confidence", "TYPE_FP32", (-1,)),
        *(Tensor(name, "TYPE_FP32", (-1, width)) for name, width in card.outputs.items()),
    ]
    settings = {
        "detector": DETECTOR,
        "student": STUDENT,
        "crops_at_once": str(MOST_CROPS),
        "min_face": "0",
        "min_score": "0.6",
        "min_confidence": "0",
        "exclude": "",
    }
    return f"""\
# A frame, uint8 BGR (height, width, 3) -> its faces, the largest first. Every output has one row a face.
{_head(FRAMES, "python", 0)}
{_tensors("input", [Tensor("frame", "TYPE_UINT8", (-1, -1, 3))])}
{_tensors("output", outputs)}
# Processes that prepare frames and crops.
instance_group [ {{ count: 2 kind: KIND_CPU }} ]
# The last four as for mien's Recognizer; exclude takes classes with commas between them.
{_parameters(settings)}"""


def _head(name: str, backend: str, most: int) -> str:
    return f'name: "{name}"\nbackend: "{backend}"\nmax_batch_size: {most}'


def _tensors(kind: str, tensors: Iterable[Tensor], labels: dict[str, str] | None = None) -> str:
    rows = []
    for tensor in tensors:
        named = f' label_filename: "{labels[tensor.name]}"' if labels and tensor.name in labels else ""
        rows.append(f'  {{ name: "{tensor.name}" data_type: {tensor.type} dims: {list(tensor.dims)}{named} }}')
    return f"{kind} [\n" + ",\n".join(rows) + "\n]"


def _parameters(values: dict[str, str]) -> str:
    return "".join(f'parameters {{ key: "{k}" value: {{ string_value: "{v}" }} }}\n' for k, v in values.items())


def _warm_up(tensor: Tensor, shapes: Iterable[tuple[int, ...]], most: int) -> str:
    """Requests of zeros before the first real one: one and, where there are batches, a full one."""
    rows = []
    for i, dims in enumerate(shapes):
        batch = (1, most or 1)[i]
        what = f"{{ data_type: {tensor.type} dims: {list(dims)} zero_data: true }}"
        inputs = f'inputs {{ key: "{tensor.name}" value: {what} }}'
        rows.append(f'  {{ name: "warm-up {i + 1}" batch_size: {batch} {inputs} }}')
    return "model_warmup [\n" + ",\n".join(rows) + "\n]\n"
