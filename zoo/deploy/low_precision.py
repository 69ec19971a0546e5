"""Convert the network of an ONNX graph to int8, calibrated on real images, or to fp16. Inputs and outputs stay float32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.deploy.onnx_network import PIXELS, quiet
from zoo.errors import ZooError, first_line

if TYPE_CHECKING:
    from onnx import ModelProto

# Images for the calibration of int8. More made no measurable difference.
CALIBRATION_IMAGES = 256


def to_fp16(network: ModelProto) -> ModelProto:
    """Return the network in fp16.

    Raises:
        ZooError: onnxruntime cannot convert it.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        with quiet():
            return _in_order(convert_float_to_float16(network, keep_io_types=True))
    except Exception as error:  # the converter raises plain exceptions of any class
        raise ZooError("--precision fp16", f"this backbone cannot be converted: {first_line(error)}", "try fp32") from None


def _in_order(network: ModelProto) -> ModelProto:
    """Sort the nodes in the order of computation, since the converter appends its casts at the end."""
    graph = network.graph
    known = {value.name for value in [*graph.input, *graph.initializer]} | {""}
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise ValueError("its nodes depend on each other in a cycle")
        ordered += ready
        known.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not known.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(ordered)
    return network


def to_int8(network: ModelProto, batches: Iterable[Tensor]) -> ModelProto:
    """Return the network with int8 weights, one scale per channel, and uint8 activations, whose ranges are measured.

    Args:
        network: the float32 network.
        batches: inputs on which the ranges are measured, float32 [B, 3, T, T] each.

    Raises:
        ZooError: onnxruntime cannot convert it.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        """A reader of batches."""

        def __init__(self, found: Iterator[Tensor]) -> None:
            self.found = found

        def get_next(self) -> dict[str, object] | None:  # type: ignore[override]
            batch = next(self.found, None)
            return None if batch is None else {PIXELS: batch.contiguous().numpy()}

    try:
        with quiet(), tempfile.TemporaryDirectory() as folder:
            plain, prepared, quantized = (str(Path(folder) / f"{name}.onnx") for name in ("plain", "prepared", "quantized"))
            onnx.save(network, plain)
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantized,
                Reader(iter(batches)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
            return onnx.load(quantized)
    except OSError:  # no disk space for the temporary files
        raise
    except Exception as error:  # the quantizer raises plain exceptions of any class
        raise ZooError("--precision int8", f"this backbone cannot be quantized: {first_line(error)}", "try fp16") from None
