"""Arrays are copied to a device. `tests/data/test_batches_on_a_gpu.py` and `tests/gpu` have more tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.fake_cuda import CUDA, Watching, fake_cuda

from zoo.data.transfer import Transfer

ARRAYS = (np.arange(5), np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3), np.zeros((0, 4), np.float32))


def test_on_a_cpu_arrays_stay_where_they_are() -> None:
    transfer = Transfer(torch.device("cpu"))
    for tensor, array in zip(transfer.send(*ARRAYS), ARRAYS, strict=True):
        assert tensor.numpy().tolist() == array.tolist()
    room = transfer.room((2, 3))
    assert transfer.copy(room) is room
    transfer.wait(transfer.mark(), [room])


def test_to_a_gpu_they_go_in_one_copy_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        transfer = Transfer(CUDA)
        with Watching() as watching:
            sent = transfer.send(*ARRAYS)
    assert [(tensor.dtype, tuple(tensor.shape)) for tensor in sent] == [
        (torch.int64, (5,)), (torch.float32, (4, 3)), (torch.float32, (0, 4)),
    ]  # fmt: skip
    assert (sum(watching.copies.values()), dict(watching.waits), dict(watching.launches)) == (1, {}, {})
