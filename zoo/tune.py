"""Precision, memory layout and micro-batches chosen by measuring the real model.

What is fastest differs between machines and models: on one CPU bf16 doubled ResNet-18's speed, on another it
was slower than fp32, on a third without native bf16 it was sixteen times slower. So a few steps are timed.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

import torch
from torch import nn

from zoo.errors import ZooError

T = TypeVar("T")
Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# A candidate must be this much faster than one before it, or noise would decide.
CLEARLY = 1.03
# Images of a micro-batch on a CPU: the smaller takes less memory, so the larger must be this much faster.
PARTS, WORTH_MEMORY = (8, 16), 1.05
# One that is this much slower on a few images is not tried on more.
HOPELESS = 1.5
FEW, ENOUGH, ROUNDS = 8, 16, 3


@dataclass(frozen=True)
class Choice:
    """How the model is trained, and why."""

    precision: Precision
    channels_last: bool
    accumulate: int
    why: str

    def __str__(self) -> str:
        layout = "channels_last" if self.channels_last else "contiguous"
        split = f", {self.accumulate} micro-batches" if self.accumulate > 1 else ""
        return f"{self.precision}, {layout}{split} ({self.why})"


def choose(
    model: nn.Module,
    size: int,
    batch: int,
    device: torch.device,
    *,
    precision: str,
    channels_last: bool | str,
    accumulate: int | str,
    divisible: bool,
) -> Choice:
    """Time a few steps of every allowed combination and take the fastest.

    Args:
        model: on its device; its parameters and buffers are left as they are, its memory format is not.
        size: side of the images in pixels.
        batch: images in a step of this process.
        device: where the model is.
        precision, channels_last, accumulate: what the recipe says; `auto` leaves it open.
        divisible: whether micro-batches give the same gradient as the whole batch, which BatchNorm's statistics forbid.

    Raises:
        ZooError: not even one image fits into memory.
    """
    precisions = _precisions(device) if precision == "auto" else [precision]
    layouts = [True, False] if channels_last == "auto" else [bool(channels_last)]
    candidates = list(itertools.product(precisions, layouts))
    best, why = candidates[0], "as the recipe says"
    with _untouched(model):
        micro = _fits(model, size, batch, device, best) if accumulate == "auto" else int(accumulate)
        if len(candidates) > 1:
            speeds = _race(model, size, max(1, -(-batch // micro)), device, candidates)
            best = _fastest(speeds, CLEARLY)
            shown = sorted(speeds.items(), key=lambda item: -item[1])
            text = ", ".join(f"{name}{' channels_last' if last else ''} {speed:.0f}" for (name, last), speed in shown)
            why = f"measured, images/s: {text}"
        if accumulate == "auto" and device.type == "cpu" and divisible and batch > PARTS[0]:
            # The activations of a small part stay in the CPU's caches.
            speeds = _race_parts(model, size, batch, device, best)
            micro = _fastest(speeds, WORTH_MEMORY)
            why += "; in parts of " + ", ".join(f"{-(-batch // parts)} {speed:.0f}" for parts, speed in speeds.items())
    return Choice(cast("Precision", best[0]), best[1], micro, why)


def _fastest(speeds: dict[T, float], clearly: float) -> T:
    """The first candidate that no later one beats clearly."""
    best = next(iter(speeds))
    for candidate, speed in speeds.items():
        if speed > speeds[best] * clearly:
            best = candidate
    return best


def _race_parts(model: nn.Module, size: int, batch: int, device: torch.device, candidate: tuple[str, bool]) -> dict[int, float]:
    """Images per second by the number of micro-batches a step is divided into, most first."""
    numbers = sorted({-(-batch // part) for part in PARTS if part < batch} or {1}, reverse=True)
    times: dict[int, list[float]] = {parts: [] for parts in numbers}
    for _ in range(ROUNDS):
        for parts in numbers:
            times[parts].append(_stepper(model, size, -(-batch // parts), device, candidate)())
    return {parts: -(-batch // parts) / min(seconds) for parts, seconds in times.items()}


def _precisions(device: torch.device) -> list[str]:
    if device.type == "cpu":
        # Without native support each value is converted one by one.
        native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)()
        return ["fp32", "bf16"] if native else ["fp32"]
    return ["bf16", "fp16", "fp32"] if device.type == "cuda" and torch.cuda.is_bf16_supported() else ["fp32"]


def _race(
    model: nn.Module, size: int, batch: int, device: torch.device, candidates: list[tuple[str, bool]]
) -> dict[tuple[str, bool], float]:
    """Images per second of each candidate; those that are hopeless on a few images have that figure."""
    few, enough = min(FEW, batch), min(ENOUGH, batch) if device.type == "cpu" else batch
    speeds = {}
    for candidate in candidates:
        step = _stepper(model, size, few, device, candidate)
        step()
        speeds[candidate] = few / step()
    fastest = max(speeds.values())
    alive = [candidate for candidate in candidates if speeds[candidate] * HOPELESS >= fastest]
    if len(alive) == 1:
        return speeds
    times: dict[tuple[str, bool], list[float]] = {candidate: [] for candidate in alive}
    # In turn, so that a machine that slows down does so for all of them.
    for _ in range(ROUNDS):
        for candidate in alive:
            times[candidate].append(_stepper(model, size, enough, device, candidate)())
    return speeds | {candidate: enough / min(times[candidate]) for candidate in alive}


def _stepper(model: nn.Module, size: int, batch: int, device: torch.device, candidate: tuple[str, bool]) -> Callable[[], float]:
    """A forward and backward pass in one precision and layout, that returns its seconds."""
    precision, channels_last = candidate
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, size, size, generator=generator).to(device, memory_format=layout)

    def step() -> float:
        started = time.perf_counter()
        with torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32"):
            loss = model(images).float().logsumexp(1).mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
        model.zero_grad()
        return seconds

    return step


def _fits(model: nn.Module, size: int, batch: int, device: torch.device, candidate: tuple[str, bool]) -> int:
    """The fewest micro-batches that fit into a GPU's memory, by doubling."""
    micro = 1
    while device.type != "cpu":
        try:
            _stepper(model, size, -(-batch // micro), device, candidate)()
            break
        except torch.OutOfMemoryError:
            model.zero_grad()
            torch.cuda.empty_cache()
            if micro >= batch:
                raise ZooError("train.batch_size", "not even one image fits into memory", "lower image_size") from None
            micro = min(micro * 2, batch)
    return micro


@contextlib.contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Give a model its buffers back after it was measured: BatchNorm counts every forward pass."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
