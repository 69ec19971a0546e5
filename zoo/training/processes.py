"""Communication between the processes of a run: connect, broadcast, take turns with the cache, and compare.

Only the first process reads and writes the run folder, so that machines need not share one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, distributed

from zoo.data.changes import MOST_CHANGES, changes, summary
from zoo.data.splits import Splits
from zoo.errors import ZooError
from zoo.system import launch, network
from zoo.system.device import indexed
from zoo.system.launch import Launch
from zoo.system.packing import fill, packed_bytes, slots
from zoo.training.checkpoint import Checkpoint, Tensors

T = TypeVar("T")
# Seconds that a process waits for the others while they set up: decoding millions of images takes hours.
SETUP_SECONDS = 6 * 3600
# Bytes that are sent at a time.
PIECE = 64 << 20


def meet(start: Launch, seconds: int) -> torch.device:
    """Connect to the other processes, and return this one's device; if they are connected already, return it at once.

    Args:
        start: the rank of this process and the number of processes.
        seconds: how long to wait for the others.

    Raises:
        ZooError: the processes do not find each other, or were started for another device.
    """
    met = distributed.is_available() and distributed.is_initialized()
    if start.processes > 1 and not met:
        network.choose_interface()
    state = PartialState(cpu=launch.on_cpu(), **launch.process_group_kwargs(start, seconds))
    if start.processes == 1 and state.device is not None and launch.on_cpu() != (state.device.type == "cpu"):
        # An earlier run in this Python was on another device.
        PartialState._reset_state()
        state = PartialState(cpu=launch.on_cpu())
    if state.num_processes != start.processes:
        what = f"asked for {start.processes} processes, running {state.num_processes}"
        raise ZooError("launch", what, "set ACCELERATE_USE_CPU=true on CPUs")
    if launch.on_cpu() and state.device is not None and state.device.type != "cpu":
        raise ZooError("train.device", "cpu, but the processes were started for GPUs", "set ACCELERATE_USE_CPU=true")
    if not met:
        wait_at_most(start, SETUP_SECONDS)
    return indexed(state.device)


def wait_at_most(start: Launch, seconds: int) -> None:
    """Set how many seconds this process waits for another one from now on."""
    if start.processes > 1:
        # Older versions of torch have the function under a private name.
        set_timeout = getattr(distributed, "set_timeout", None) or distributed.distributed_c10d._set_pg_timeout
        set_timeout(timedelta(seconds=seconds))


def leave() -> None:
    """Disconnect from the other processes before this one ends: gloo's threads would otherwise abort it."""
    if distributed.is_available() and distributed.is_initialized() and distributed.get_backend() == "gloo":
        # The others may have ended already, and the work of this process is done.
        with contextlib.suppress(RuntimeError):
            distributed.destroy_process_group()


def from_first(start: Launch, function: Callable[[], T]) -> T:
    """Call a function on the first process, and return its result on all.

    Raises:
        ZooError: the error that it raised there; raised on all.
    """
    if start.processes == 1:
        return function()
    found, failed = _attempt(function) if start.main else (None, None)
    found, failed = broadcast_object_list([found, failed])
    if failed is not None:
        raise failed
    return found  # type: ignore[return-value]


def in_turns(start: Launch, function: Callable[[], T]) -> T:
    """Call a function on the first process of each machine, then on the others, which find its results in the cache.

    Raises:
        ZooError: the error that it raised on one of them; raised on all.
    """
    if start.processes == 1:
        return function()
    found, failed = _attempt(function) if start.local_rank == 0 else (None, None)
    _raise_any(failed)
    return everywhere(start, lambda: found if start.local_rank == 0 else function())  # type: ignore[return-value]


def everywhere(start: Launch, function: Callable[[], T]) -> T:
    """Call a function on each process; if it fails on one, none of the others waits for that one in vain.

    Raises:
        ZooError: the error of the first process on which it failed; raised on all.
    """
    if start.processes == 1:
        return function()
    found, failed = _attempt(function)
    _raise_any(failed)
    return found  # type: ignore[return-value]


def _attempt(function: Callable[[], T]) -> tuple[T | None, ZooError | None]:
    """Return what a function returns, or its error."""
    try:
        return function(), None
    except ZooError as error:
        return None, error


def _raise_any(failed: ZooError | None) -> None:
    """Raise the error of the first process that has one; raised on all."""
    for error in gather_object([failed]):
        if error is not None:
            raise error


def check_same_data(start: Launch, data: Splits) -> None:
    """Check that all processes have the same classes, files and labels, whatever machines they run on.

    Raises:
        ZooError: a process has other data than the first; raised on all, with what differs.
    """
    if start.processes == 1:
        return
    first, *others = gather_object([data.fingerprint()])
    if all(other == first for other in others):
        return
    summaries = gather_object([summary(data)])
    rank = next(rank for rank, other in enumerate(others, start=1) if other != first)
    found = changes(summaries[0], summaries[rank])
    what = "; ".join(found[:MOST_CHANGES]) or "its images or their order differ"
    raise ZooError("data", f"process {rank} has other images than process 0: {what}", "give all machines the same images")


def check_alike(start: Launch, facts: Mapping[str, str], when: str) -> None:
    """Check that facts which decide the result are the same on all processes.

    Args:
        start: the rank of this process and the number of processes.
        facts: values to compare, such as digests, by the name that an error gives them.
        when: time of the comparison, for the error, such as "at the start".

    Raises:
        ZooError: a process has another value than the first; raised on all.
    """
    if start.processes == 1:
        return
    first, *others = gather_object([dict(facts)])
    for rank, theirs in enumerate(others, start=1):
        for name, value in first.items():
            if theirs[name] != value:
                what = f"process {rank} has another {name} than process 0 {when}: {theirs[name]} against {value}"
                raise ZooError("launch", what, "train on identical machines (others round differently), then --resume")


# -------------------------------------------------------------------------------------- tensors


def share_checkpoint(start: Launch, checkpoint: Checkpoint | None, device: torch.device) -> Checkpoint:
    """Give all processes the checkpoint that the first one has; its tensors stay on the CPU.

    Args:
        start: the rank of this process and the number of processes.
        checkpoint: the checkpoint on the first process; ignored on the others.
        device: the device of this process, over which tensors are sent.
    """
    if start.processes == 1:
        assert checkpoint is not None
        return checkpoint
    layout = None
    if start.main:
        assert checkpoint is not None
        groups = checkpoint.tensors.items()
        layout = {group: [(name, t.shape, t.dtype) for name, t in tensors.items()] for group, tensors in groups}
        state = checkpoint.state
    else:
        state = {}
    layout, state = broadcast_object_list([layout, state])
    tensors: dict[str, Tensors] = {}
    for group, rows in layout.items():
        ours = checkpoint.tensors[group] if start.main and checkpoint is not None else None
        empty = {name: torch.empty(shape, dtype=dtype) for name, shape, dtype in rows} if ours is None else ours
        _broadcast(list(empty.values()), device, sends=ours is not None)
        tensors[group] = empty
    return Checkpoint(tensors, state)


def share_weights(start: Launch, model: torch.nn.Module, device: torch.device) -> None:
    """Copy the parameters and buffers of a model from the first process to all others."""
    if start.processes > 1:
        with torch.no_grad():
            _broadcast([*model.parameters(), *model.buffers()], device, sends=start.main)


def _broadcast(tensors: list[Tensor], device: torch.device, *, sends: bool) -> None:
    """Copy tensors of any dtype from the first process into the tensors of the others, in pieces."""
    for part in _pieces(tensors):
        buffer = torch.zeros(packed_bytes(part), dtype=torch.uint8, device=device)
        if sends:
            fill(buffer, part)
        distributed.broadcast(buffer, 0)
        if not sends:
            for slot, tensor in zip(slots(buffer, part), part, strict=True):
                tensor.detach().copy_(slot)


def bytes_of(tensor: Tensor) -> Tensor:
    """Return the bytes of a contiguous tensor, uint8 [nbytes]."""
    return tensor.reshape(-1).view(torch.uint8)


def _pieces(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Divide tensors into parts of at most `PIECE` bytes, with larger tensors alone in a part; leave out empty ones."""
    part: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if not tensor.nbytes:
            continue
        if part and size + tensor.nbytes > PIECE:
            yield part
            part, size = [], 0
        part.append(tensor)
        size += tensor.nbytes
    if part:
        yield part
