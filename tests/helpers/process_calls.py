"""Functions that two processes call in tests of `zoo.training.processes`: each asserts for itself, the first sends results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

from zoo.data.pixel_store import PixelStore
from zoo.data.splits import Split, Splits
from zoo.errors import StorageError, ZooError
from zoo.system import launch
from zoo.training import processes
from zoo.training.checkpoint import Checkpoint

Send = Callable[[dict[str, Any]], None]


def meet() -> launch.Launch:
    """Meet the other process on the CPU."""
    os.environ["ACCELERATE_USE_CPU"] = "true"
    start = launch.read()
    assert processes.meet(start, 60).type == processes.meet(start, 60).type == "cpu"
    assert distributed.get_world_size() == 2
    return start


def _error(function: Callable[[], object]) -> ZooError:
    try:
        function()
    except ZooError as error:
        return error
    raise AssertionError("no error")


def hear_the_first(arguments: Mapping[str, Any], send: Send) -> None:
    """Check that only the first process reads, and that both get what it read, or its error."""
    start = meet()
    calls: list[int] = []

    def read() -> dict[str, Any]:
        calls.append(start.rank)
        return {"from": start.rank, "path": Path("a")}

    assert processes.from_first(start, read) == {"from": 0, "path": Path("a")}
    assert calls == ([0] if start.main else [])

    def fail() -> None:
        raise StorageError("here", "is full", "free some")

    error = _error(lambda: processes.from_first(start, fail))
    assert isinstance(error, StorageError)
    send({"error": str(error)})


def take_turns(arguments: Mapping[str, Any], send: Send) -> None:
    """Check that the first process makes a file before the second looks for it, and that an error on either is raised on both."""
    start = meet()
    made = Path(arguments["folder"]) / "made"

    def make() -> str:
        found = made.exists()
        if not found:
            time.sleep(0.2)
            made.touch()
        return f"{start.rank} {found}"

    assert processes.in_turns(start, make) == ("0 False" if start.main else "1 True")

    def fail_on(rank: int) -> None:
        if start.rank == rank:
            raise ZooError("data", f"of {rank}", "")

    send({"errors": [str(_error(lambda rank=rank: processes.in_turns(start, lambda: fail_on(rank)))) for rank in (0, 1)]})


def share(arguments: Mapping[str, Any], send: Send) -> None:
    """Check that both processes get the tensors of the first, bit for bit, for all dtypes, shapes and layouts."""
    start = meet()
    processes.PIECE = 100

    def tensors(seed: int) -> dict[str, dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        image = torch.randn(2, 3, 4, 5, generator=generator).contiguous(memory_format=torch.channels_last)
        return {
            "model": {"a": image, "count": torch.tensor(seed + 7), "half": torch.full((3,), seed + 0.5, dtype=torch.bfloat16)},
            "optimizer": {"none": torch.empty(0), "yes": torch.tensor([True, seed > 0]), "b": torch.full((40,), float("nan"))},
        }

    mine = Checkpoint(tensors(0), {"step": 3}) if start.main else None
    found = processes.share_checkpoint(start, mine, torch.device("cpu"))
    assert found.state == {"step": 3}
    for group, wanted in tensors(0).items():
        assert list(found.tensors[group]) == list(wanted)
        for name, tensor in wanted.items():
            there = found.tensors[group][name]
            assert (there.dtype, there.shape) == (tensor.dtype, tensor.shape)
            assert torch.equal(processes.bytes_of(there.contiguous()), processes.bytes_of(tensor.contiguous())), name
    torch.manual_seed(start.rank)
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5))
    model.train()(torch.randn(4, 3))
    processes.share_weights(start, model, torch.device("cpu"))
    processes.check_alike(start, {"weights": str({name: v.tolist() for name, v in model.state_dict().items()})}, "here")
    error = _error(lambda: processes.check_alike(start, {"same": "1", "digest": str(start.rank)}, "after step 3"))
    send({"error": str(error)})


def compare_data(arguments: Mapping[str, Any], send: Send) -> None:
    """Check that an error names the process that has other images, and what differs."""
    start = meet()

    def splits(count: int) -> Splits:
        pixels = PixelStore.square(np.zeros((count, 3, 2, 2), np.uint8))
        return Splits(("a", "b"), Split.of(pixels, np.arange(count) % 2), None, None)

    processes.check_same_data(start, splits(6))
    send({"error": str(_error(lambda: processes.check_same_data(start, splits(6 - start.rank))))})


def wait_in_vain(arguments: Mapping[str, Any], send: Send) -> None:
    """Check that a process waits for a silent one as long as `wait_at_most` says, and not as long as during the setup."""
    start = meet()
    if start.main:
        started = time.monotonic()
        processes.wait_at_most(start, 2)
        try:
            distributed.all_reduce(torch.ones(1))
        except RuntimeError:
            send({"seconds": time.monotonic() - started})
        return
    processes.wait_at_most(start, 2)
    time.sleep(6)
