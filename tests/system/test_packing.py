"""Tensors that are packed into a buffer come out with the same bits."""

from __future__ import annotations

import math

import torch

from zoo.system.packing import ALIGNMENT, fill, packed_bytes, slots


def test_tensors_of_any_dtype_and_shape_come_out_as_they_went_in() -> None:
    tensors = [
        torch.tensor([True, False, True]),
        torch.randn(3, 5, dtype=torch.float64),
        torch.tensor(math.nan),
        torch.empty(0, 7),
        torch.arange(5, dtype=torch.int16),
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.randn(4, 4, dtype=torch.bfloat16).T,
    ]
    buffer = torch.zeros(packed_bytes(tensors), dtype=torch.uint8)
    fill(buffer, tensors)
    assert len(buffer) % ALIGNMENT == 0
    for found, tensor in zip(slots(buffer, tensors), tensors, strict=True):
        assert found.dtype == tensor.dtype
        assert found.is_contiguous()
        torch.testing.assert_close(found, tensor, rtol=0, atol=0, equal_nan=True)


def test_slots_are_the_buffer_itself() -> None:
    like = [torch.zeros(3), torch.zeros(2, dtype=torch.int64)]
    buffer = torch.zeros(packed_bytes(like), dtype=torch.uint8)
    slots(buffer, like)[1].fill_(-1)
    assert buffer.sum() == 16 * 255
