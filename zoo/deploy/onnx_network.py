"""Write a network as an ONNX graph: float32 [N, 3, T, T] to logits float32 [N, C].

torch's exporter folds constants, and BatchNorm into the preceding convolutions; no other optimization is needed for speed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from zoo.errors import ZooError, first_line

if TYPE_CHECKING:
    from onnx import ModelProto

# `Resize` has the attributes that pixels need since opset 18; onnxruntime reads 20 since its version 1.17.
OPSET = 20
PIXELS, LOGITS = "pixels", "logits"
# Images of the example input for a dynamic batch; torch would treat a size of 0 or 1 as a constant.
EXAMPLE = 2


def network_graph(model: nn.Module, size: int, batch: int | None) -> ModelProto:
    """Return a model's ONNX graph.

    Args:
        model: in evaluation mode, on the CPU.
        size: side of its images, in pixels.
        batch: batch size, None for any.

    Raises:
        ZooError: ONNX or torch's exporter lacks an operation of the model.
    """
    example = torch.zeros(batch or EXAMPLE, 3, size, size)
    shapes = ({0: torch.export.Dim("batch")},) if batch is None else None
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[PIXELS],
                output_names=[LOGITS],
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        raise ZooError("--format onnx", f"this backbone cannot be exported: {first_line(error)}", "try --format torch") from None
    assert program is not None
    return _plain(program.model_proto)


def _plain(graph: ModelProto) -> ModelProto:
    """Remove the exporter's notes on the origin of each node, which contain paths of this machine."""
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*graph.graph.value_info, *graph.graph.input, *graph.graph.output, *graph.graph.initializer]:
        del value.metadata_props[:]
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    return graph


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the console output of torch's and onnxruntime's exporters."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
