"""Errors that mean that memory is full, from any library."""

from __future__ import annotations

import pytest
import torch

from zoo.system.memory import lacks_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input."),
        MemoryError(),
    ],
)
def test_all_kinds_are_known(error: Exception) -> None:
    assert lacks_memory(error)


def test_the_real_text_of_a_cpu_is_known() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert lacks_memory(failed.value)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory")])
def test_other_errors_are_not(error: Exception) -> None:
    assert not lacks_memory(error)
