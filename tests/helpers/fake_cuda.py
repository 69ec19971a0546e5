"""Run zoo on fake tensors that claim to be on a GPU: count what it launches, and find where it would wait. No GPU is needed.

An operation on a GPU tensor counts as one launch unless it is a view, an allocation, a copy from or to the CPU, or a
wait. A real GPU may run no kernel for it, one or several, so the counts are approximate.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)
# Operations that compute nothing: they make views or allocate memory.
VIEWS = {
    *("view", "_unsafe_view", "t", "transpose", "permute", "expand", "unsqueeze", "squeeze", "select", "slice", "as_strided"),
    *("alias", "detach", "unbind", "split", "split_with_sizes", "_reshape_alias", "lift_fresh", "empty", "empty_like", "chunk"),
    *("empty_strided", "new_empty", "new_empty_strided", "diagonal", "unfold", "narrow", "view_as", "device", "resize_"),
}
# Operations for which the CPU must read a value or a size from the GPU.
ASKING = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "unique", "_unique2"}


class Watching(TorchDispatchMode):
    """Count launches, asynchronous copies and waits, each with the line of zoo that causes it."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        sources = {value.device.type for value in args if isinstance(value, Tensor)}
        out = func(*args, **kwargs)
        results = [value for value in (out if isinstance(out, tuple | list) else [out]) if isinstance(value, Tensor)]
        targets = {value.device.type for value in results}
        if name in ASKING and "cuda" in sources:
            self.waits[f"{name} {_line()}"] += 1
        elif name in ("_to_copy", "copy_") and {"cpu", "cuda"} <= sources | targets:
            waits = not kwargs.get("non_blocking", args[2] if name == "copy_" and len(args) > 2 else False)
            (self.waits if waits else self.copies)[f"{name} {_line()}"] += 1
        elif name == "index" and "cuda" in sources and any(part is not None and part.device.type == "cpu" for part in args[1]):
            self.waits[f"index by a CPU's tensor {_line()}"] += 1
        elif "cuda" in sources | targets and name not in VIEWS:
            self.launches[f"{name} {_line()}"] += 1
        return out


def _line() -> str:
    frames = [frame for frame in traceback.extract_stack() if "/zoo/" in frame.filename and "/tests/" not in frame.filename]
    return f"{frames[-1].filename.rpartition('/zoo/')[2]}:{frames[-1].lineno}" if frames else "?"


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every tensor within the block a fake one, including pinned memory; skip the test if torch is built without CUDA."""
    if torch.version.cuda is None:
        pytest.skip("this build of torch knows no CUDA")
    empty = torch.empty

    def plain_empty(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Tensor:
        return empty(*args, **kwargs)

    with monkeypatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True):
        patch.setattr(torch, "empty", plain_empty)
        yield
