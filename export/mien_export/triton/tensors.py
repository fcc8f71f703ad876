"""The inputs and outputs of an ONNX file, as Triton names their types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from mien.errors import ModelInvalid

TYPES: dict[int, str] = {onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.FLOAT: "TYPE_FP32"}


@dataclass(frozen=True)
class Tensor:
    """One input or output. ``dims``: its shape, -1 where it is free."""

    name: str
    type: str
    dims: tuple[int, ...]

    @property
    def without_batch(self) -> Tensor:
        """The same tensor without its first dimension, which Triton adds where ``max_batch_size`` is above 0."""
        return Tensor(self.name, self.type, self.dims[1:])


@dataclass(frozen=True)
class Tensors:
    """All inputs and outputs of a model."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def tensors_of(path: Path) -> Tensors:
    """Read them from an ONNX file. Raises ModelInvalid if the file is broken, or its input is not one of uint8."""
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # protobuf has several
        raise ModelInvalid(f"{path} is not an ONNX file: {error}; export the bundle again") from error
    found = Tensors(tuple(map(_tensor, graph.input)), tuple(map(_tensor, graph.output)))
    if [tensor.type for tensor in found.inputs] != ["TYPE_UINT8"]:
        raise ModelInvalid(f"{path} must have one input, of uint8; export the bundle again with this mien")
    return found


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    if kind.elem_type not in TYPES:
        raise ModelInvalid(f"the type of {value.name} is neither uint8 nor float32; export the bundle again")
    dims = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return Tensor(value.name, TYPES[kind.elem_type], dims)
