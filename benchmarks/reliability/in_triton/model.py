"""ONNX Runtime for a Triton server that comes without that backend: what Triton calls a Python-based backend.

The server finds it as ``backends/onnxruntime/model.py`` and runs it for every model whose config says
``backend: "onnxruntime"``. The server itself checks requests, batches them and warms up; this only computes.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        model = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._name, self._batched = config["name"], config["max_batch_size"] > 0
        self._input = config["input"][0]["name"]
        self._outputs = [output["name"] for output in config["output"]]

    def execute(self, requests):
        given = [pb_utils.get_input_tensor_by_name(request, self._input).as_numpy() for request in requests]
        print(f"EXECUTED {self._name} {len(given)} {sum(map(len, given))}", flush=True)
        if not self._batched:
            return [self._response(self._run(one)) for one in given]
        values, cuts = self._run(np.concatenate(given)), np.cumsum([len(one) for one in given])[:-1]
        parts = [np.split(value, cuts) for value in values]
        return [self._response(part) for part in zip(*parts, strict=True)]

    def _run(self, batch):
        return self._session.run(self._outputs, {self._input: batch})

    def _response(self, values):
        named = zip(self._outputs, values, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in named])
