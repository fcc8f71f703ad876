"""A stand-in for Triton's Python backend: its module for ``model.py``, and the other models of a repository.

A request is held against ``config.pbtxt`` as the server does, and ONNX Runtime answers it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

NAME = "triton_python_backend_utils"
DTYPES = {"TYPE_UINT8": np.uint8, "TYPE_FP32": np.float32, "TYPE_STRING": np.object_}


class TritonModelException(Exception):
    pass


class TritonError:
    INTERNAL, INVALID_ARG = "INTERNAL", "INVALID_ARG"

    def __init__(self, message: str, code: str = INTERNAL):
        self._message, self._code = message, code

    def message(self) -> str:
        return self._message

    def code(self) -> str:
        return self._code


class Tensor:
    def __init__(self, name: str, value: np.ndarray):
        assert isinstance(value, np.ndarray)
        self._name, self._value = name, value

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._value


@dataclass
class InferenceResponse:
    output_tensors: Sequence[Tensor] = ()
    error_: TritonError | None = None

    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None):
        self.output_tensors, self.error_ = output_tensors, error

    def has_error(self) -> bool:
        return self.error_ is not None

    def error(self) -> TritonError | None:
        return self.error_

    def arrays(self) -> dict[str, np.ndarray]:
        assert self.error_ is None, self.error_.message()
        return {tensor.name(): tensor.as_numpy() for tensor in self.output_tensors}


def config_of(folder: Path) -> Any:
    """``config.pbtxt`` of a model's folder as Triton's own message."""
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def fits(described: Any, array: np.ndarray, batched: bool) -> str:
    """Why an array is not what a ModelInput or ModelOutput describes; empty if it is."""
    kind = model_config_pb2.DataType.Name(described.data_type)
    if array.dtype != DTYPES[kind]:
        return f"{described.name} is {array.dtype}, not {kind}"
    shape, dims = array.shape[1:] if batched else array.shape, list(described.dims)
    if len(shape) != len(dims) or any(d not in (-1, n) for n, d in zip(shape, dims, strict=True)):
        return f"unexpected shape for {described.name}: expected {dims}, got {list(array.shape)}"
    return ""


@dataclass
class Server:
    """The models of a repository that other models may call, once it has started. ``batches``: what was asked."""

    repository: Path
    started: bool = False
    batches: list[tuple[str, int]] = field(default_factory=list)

    def answer(self, model: str, inputs: Sequence[Tensor], wanted: Sequence[str]) -> InferenceResponse:
        assert self.started, "the other models cannot be called while this one is loaded"
        config, (tensor,) = config_of(self.repository / model), inputs
        described = {one.name: one for one in config.input}.get(tensor.name())
        if described is None:
            return InferenceResponse(error=TritonError(f"unexpected inference input {tensor.name()!r}"))
        array = tensor.as_numpy()
        problem = fits(described, array, config.max_batch_size > 0)
        if config.max_batch_size and len(array) > config.max_batch_size:
            problem = f"inference request batch-size must be <= {config.max_batch_size}"
        unknown = set(wanted) - {one.name for one in config.output}
        if problem or unknown:
            return InferenceResponse(error=TritonError(problem or f"unexpected inference outputs {unknown}"))
        self.batches.append((model, len(array)))
        session = onnxruntime.InferenceSession(self.repository / model / "1/model.onnx")
        values = session.run(list(wanted), {tensor.name(): array})
        return InferenceResponse([Tensor(*pair) for pair in zip(wanted, values, strict=True)])


def load_frame_model(repository: Path, patch: pytest.MonkeyPatch, model: str = "mien") -> tuple[Any, Server]:
    """A TritonPythonModel of the repository, initialized as the server does it, and the server."""
    server, config = Server(repository), config_of(repository / model)

    class InferenceRequest:
        def __init__(
            self, model_name: str, requested_output_names: list[str], inputs: list[Tensor], preferred_memory: Any = None
        ):
            self._asked = model_name, inputs, requested_output_names

        def exec(self) -> InferenceResponse:
            return server.answer(*self._asked)

    module = ModuleType(NAME)
    vars(module).update(
        Tensor=Tensor, InferenceRequest=InferenceRequest, InferenceResponse=InferenceResponse, TritonError=TritonError,
        TritonModelException=TritonModelException, TRITONSERVER_MEMORY_CPU=0,
        PreferredMemory=lambda kind, number: SimpleNamespace(kind=kind, number=number),
        get_input_tensor_by_name=lambda request, name: {one.name(): one for one in request}[name],
        get_output_tensor_by_name=lambda response, name: {one.name(): one for one in response.output_tensors}[name],
    )  # fmt: skip
    patch.setitem(sys.modules, NAME, module)
    spec = importlib.util.spec_from_file_location("frame_model_in_triton", repository / model / "1/model.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    instance = loaded.TritonPythonModel()
    instance.initialize(
        {
            "model_config": json_format.MessageToJson(config, preserving_proto_field_name=True),
            "model_repository": str(repository / model),
            "model_version": "1",
        }
    )
    server.started = True
    return instance, server
