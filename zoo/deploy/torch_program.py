"""Write a network as a torch program, `.pt2`: float32 [N, 3, T, T] to logits. It runs without timm and zoo.

BatchNorm is fused into the preceding convolutions, and the memory format is channels_last, which is fastest on CPUs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.deploy.onnx_network import EXAMPLE, quiet
from zoo.errors import ZooError, first_line
from zoo.inference.exported import NOTES
from zoo.models.fuse_batchnorm import fused_copy


class _ChannelsLast(nn.Module):
    """A model in channels_last, the fastest memory format on CPUs, for batches of any memory format."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: Tensor) -> Tensor:
        """Return logits [N, C] of float32 [N, 3, T, T]."""
        return self.model(batch.contiguous(memory_format=torch.channels_last))


def write_program(model: nn.Module, size: int, batch: int | None, notes: Mapping[str, str], path: Path) -> None:
    """Write a model's program.

    Args:
        model: in evaluation mode, on the CPU.
        size: side of its images, in pixels.
        batch: batch size, None for any.
        notes: metadata to store in the file.
        path: the file.

    Raises:
        ZooError: torch cannot trace this backbone.
    """
    example = torch.randn(batch or EXAMPLE, 3, size, size, generator=torch.Generator().manual_seed(0))
    # Any batch size of at least 1; by default torch specializes on 0 and 1.
    shapes = ({0: torch.export.Dim("batch", min=1)},) if batch is None else None
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(_ChannelsLast(fused_copy(model, example)).eval(), (example,), dynamic_shapes=shapes)
    except Exception as error:  # the tracer raises errors of dynamo, of sympy and of the model
        raise ZooError("--format torch", f"this backbone cannot be traced: {first_line(error)}", "try --batch 1") from None
    kept = {**notes, "batch": str(batch or "dynamic")}
    # Write to memory first: torch's own writer ends the process if a file cannot be written completely.
    written = io.BytesIO()
    with quiet():
        torch.export.save(program, written, extra_files={NOTES: json.dumps(kept, ensure_ascii=False)})
    path.write_bytes(written.getbuffer())
