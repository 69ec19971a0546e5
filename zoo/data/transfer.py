"""Copy arrays and images to the device of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.system.packing import fill, packed_bytes, slots


class Transfer:
    """Copies to one device; to a GPU from pinned memory and on a stream of its own, so that they run beside the model.

    Pinned memory comes from torch, which gives it to somebody else only when the copies out of it are done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" and torch.cuda.is_available() else None

    def send(self, *arrays: np.ndarray) -> list[Tensor]:
        """Copy arrays, all in one copy for which neither side waits; on a CPU they stay where they are."""
        plain = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        if self.device.type == "cpu":
            return plain
        buffer = self.room((packed_bytes(plain),))
        fill(buffer, plain)
        return slots(self.copy(buffer), plain)

    def room(self, shape: Iterable[int]) -> Tensor:
        """Return memory of the CPU that can be copied to the device without waiting, uint8 of a shape."""
        return torch.empty(tuple(shape), dtype=torch.uint8, pin_memory=self.device.type != "cpu")

    def copy(self, there: Tensor) -> Tensor:
        """Start to copy what is in such memory."""
        if self.device.type == "cpu":
            return there
        if self.stream is None:
            return there.to(self.device, non_blocking=True)
        # A new thread thinks of the first GPU, and would start CUDA there too when it leaves the stream.
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            return there.to(self.device, non_blocking=True)

    def mark(self) -> Any:
        """Return what `wait` takes for all copies that were started so far."""
        return self.stream.record_event() if self.stream else None

    def wait(self, mark: Any, tensors: Iterable[Tensor]) -> None:
        """Let the model's stream wait for copies, and the memory of their tensors be kept until it has used them."""
        if self.stream is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(mark)
            for tensor in tensors:
                tensor.record_stream(current)
