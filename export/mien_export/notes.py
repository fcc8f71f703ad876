"""Notes of PyTorch's exporter in an ONNX graph: of each node the stack trace, with paths on the exporting machine."""

from __future__ import annotations

import onnx


def remove_notes(model: onnx.ModelProto) -> None:
    """Take them out. No engine reads them, and they tell where somebody keeps their files."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
