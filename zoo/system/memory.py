"""Errors that report full memory."""

from __future__ import annotations

# Parts of the messages of RuntimeErrors that report a lack of memory, in lower case: of cuDNN (two) and cuBLAS, which occur
# when a GPU is nearly full, then of torch for CPUs and GPUs, of C++ and of oneDNN.
# tests/system/test_memory.py provokes torch's real message for CPUs.
NO_MEMORY = (
    "unable to find an engine to execute this computation",
    "cudnn_status_not_supported",
    "cublas_status_alloc_failed",
    *("allocate memory", "out of memory", "bad_alloc", "not enough memory", "failed to allocate", "cannot allocate"),
)


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error says that an allocation failed: by its type, or by one of the texts of `NO_MEMORY`."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or (isinstance(error, RuntimeError) and any(words in str(error).lower() for words in NO_MEMORY))
