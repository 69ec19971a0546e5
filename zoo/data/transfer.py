"""Copy arrays and images to the device of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.system.packing import fill, packed_bytes, slots


class Transfer:
    """Copies to one device. Copies to a GPU use pinned memory and a separate stream, so that they overlap with the model.

    Pinned memory comes from torch, which reuses it only after the copies out of it are done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" and torch.cuda.is_available() else None

    def send(self, *arrays: np.ndarray) -> list[Tensor]:
        """Copy arrays to the device, all in one asynchronous copy; on a CPU they stay where they are."""
        plain = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        if self.device.type == "cpu":
            return plain
        buffer = self.room((packed_bytes(plain),))
        fill(buffer, plain)
        return slots(self.copy(buffer), plain)

    def room(self, shape: Iterable[int]) -> Tensor:
        """Return CPU memory that can be copied to the device asynchronously, uint8 of the given shape."""
        return torch.empty(tuple(shape), dtype=torch.uint8, pin_memory=self.device.type != "cpu")

    def copy(self, there: Tensor) -> Tensor:
        """Start to copy a tensor from `room` to the device."""
        if self.device.type == "cpu":
            return there
        if self.stream is None:
            return there.to(self.device, non_blocking=True)
        # In a new thread the current device is the first GPU; on leaving the stream, CUDA would be started there too.
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            return there.to(self.device, non_blocking=True)

    def mark(self) -> Any:
        """Return a mark for `wait`, which stands for all copies started so far."""
        return self.stream.record_event() if self.stream else None

    def wait(self, mark: Any, tensors: Iterable[Tensor]) -> None:
        """Let the model's stream wait for the copies of a mark, and keep the memory of their tensors until it has used them."""
        if self.stream is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(mark)
            for tensor in tensors:
                tensor.record_stream(current)
