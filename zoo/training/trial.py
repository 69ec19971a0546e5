"""Trial steps: time them in one precision and layout, and check whether they fit into a GPU's memory."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.system.device import DTYPES, memory_format, synchronize
from zoo.system.memory import lacks_memory

Candidate = tuple[str, bool]  # precision, and whether channels_last

# Share of a GPU's memory that may be used while candidates are tried: the rest is a margin for later fragmentation.
USABLE_MEMORY = 0.92
# Memory of batches beside a step, in float32 copies of a batch: making a batch takes three, and the batches that are gathered
# ahead as bytes, at 1.5 times the side and with their partners, take as much as three more.
BATCH_COPIES = 6


def stepper(
    model: nn.Module, size: int, batch: int, device: torch.device, candidate: Candidate, *, backward: bool = True
) -> Callable[[], float]:
    """Make a function that runs a forward and a backward pass in one precision and layout, and returns the seconds.

    The seconds are infinite if the loss is not finite.
    """
    precision, channels_last = candidate
    layout = memory_format(channels_last)
    model.to(memory_format=layout)
    # On the device: a CPU would take seconds for thousands of images.
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randn(batch, 3, size, size, generator=generator, device=device).to(memory_format=layout)

    def step() -> float:
        started = time.perf_counter()
        autocast = torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32")
        with autocast, contextlib.nullcontext() if backward else torch.inference_mode():
            loss = model(images).float().logsumexp(1).mean()
        if backward:
            loss.backward()
        synchronize(device)
        seconds = time.perf_counter() - started
        model.zero_grad()
        return seconds if torch.isfinite(loss) else math.inf

    return step


def guarded(model: nn.Module, *arguments: Any, **options: Any) -> Callable[[], float]:
    """Make a `stepper` whose seconds are infinite if a GPU has no room for the step."""
    made: list[Callable[[], float]] = []

    def step() -> float:
        def act() -> float:
            if not made:
                made.append(stepper(model, *arguments, **options))
            return made[0]()

        seconds = _if_room(model, act)
        return math.inf if seconds is None else seconds

    return step


def _if_room(model: nn.Module, act: Callable[[], float]) -> float | None:
    """Return the seconds of a step, or None if memory is too small for it; the memory is then free again."""
    try:
        return act()
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
    # Not within the handler: the frames of the error keep the tensors of the failed step alive.
    free(model)
    return None


def free(model: nn.Module) -> None:
    """Free the gradients, and the GPU memory that torch keeps for later."""
    model.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def fits(model: nn.Module, size: int, images: int, device: torch.device, candidate: Candidate, *, backward: bool = True) -> bool:
    """Check whether a GPU has room for a step and for the batches that are made meanwhile; the arguments are as for `stepper`."""

    def step() -> float:
        _beside = torch.empty(BATCH_COPIES * images, 3, size, size, device=device)
        return stepper(model, size, images, device, candidate, backward=backward)()

    return _if_room(model, step) is not None


def fewest_micro_batches(model: nn.Module, size: int, batch: int, device: torch.device, candidate: Candidate) -> int:
    """Return the fewest micro-batches with which a step fits into a GPU's memory, found by doubling; 1 on a CPU.

    Args:
        model, size, device, candidate: of the step, as for `stepper`.
        batch: images of a step of this process.

    Raises:
        ZooError: not even one image fits.
    """
    micro = 1
    while device.type != "cpu" and not fits(model, size, -(-batch // micro), device, candidate):
        if micro >= batch:
            raise ZooError("train.batch_size", "not even one image fits into memory", "lower image_size")
        micro = min(micro * 2, batch)
    return micro


@contextlib.contextmanager
def room_for_training(model: nn.Module, device: torch.device, processes: int) -> Iterator[None]:
    """Reserve the GPU memory that training needs later, and a margin, within the block.

    It is for an optimizer's two moments, an average of the weights, and the buckets in which several processes add up gradients.

    Raises:
        ZooError: the reserve alone does not fit.
    """
    if device.type == "cpu":
        yield
        return
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    with _margin(device):
        try:
            kept = torch.empty((3 + (processes > 1)) * count, device=device)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            raise ZooError("backbone.name", "its optimizer does not fit into memory", "choose a smaller backbone") from None
        yield
        del kept


@contextlib.contextmanager
def _margin(device: torch.device) -> Iterator[None]:
    """Let torch take no more than `USABLE_MEMORY` of a GPU within the block."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(USABLE_MEMORY, device)
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0, device)


@contextlib.contextmanager
def preserved_buffers(model: nn.Module) -> Iterator[None]:
    """Restore a model's buffers after the block: every forward pass changes BatchNorm's statistics."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
