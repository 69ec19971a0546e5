"""Choose precision, memory layout and micro-batches by measuring the real model.

What is fastest differs between machines and models: on one CPU bf16 doubled ResNet-18's speed, on another it
was slower than fp32, on a third without native bf16 it was sixteen times slower. So a few steps are timed.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.recipe.sections import Train
from zoo.system.device import DTYPES, memory_format, native_bf16, synchronize

T = TypeVar("T")
Precision = Literal["fp32", "bf16", "fp16"]
Candidate = tuple[str, bool]  # precision, and whether channels_last

# A candidate must be this much faster than one before it, or noise would decide.
CLEARLY = 1.01
# Candidates that are nearer to the fastest than this are timed for more rounds: which of them is first is not yet sure.
CLOSE = 1.1
# One that is this much slower on a few images is not tried on more.
HOPELESS = 1.5
# Images of the first look at a candidate.
FEW_IMAGES = 8
# Images that are enough to compare candidates where a whole batch takes too long.
ENOUGH_IMAGES = 16
# Rounds that each candidate is timed in.
ROUNDS = 3
# Rounds of micro-batches in a quick look: the first one of a size pays for its memory.
QUICK_ROUNDS = 2
# Rounds at most where candidates are close.
MOST_ROUNDS = 8
# Seconds a whole batch may take to be timed as such.
WHOLE_SECONDS = 0.5
# Seconds up to which a step is timed twice: the first one in another layout pays for what the next ones do not.
SHORT_SECONDS = 0.5
# Seconds after which close candidates are no longer timed.
PATIENCE_SECONDS = 4.0
# Images of a micro-batch on a CPU that are tried.
MICRO_BATCHES = (8, 16, 32)
# A larger micro-batch must be this much faster: the smaller takes less memory.
WORTH_MEMORY = 1.05
# Bytes that a micro-batch may keep for the backward pass.
MOST_KEPT_BYTES = 400e6


@dataclass(frozen=True)
class Choice:
    """The chosen way to train the model, and the reason."""

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
    asked: Train,
    *,
    divisible: bool,
    quick: bool = False,
    announce: Callable[[], None] = lambda: None,
) -> Choice:
    """Time a few steps of every allowed combination and take the fastest.

    Args:
        model: on its device; its parameters and buffers are left as they are, its memory format is not.
        size: side of the images in pixels.
        batch: images in a step of this process.
        device: where the model is.
        asked: the recipe's `precision`, `channels_last` and `accumulate`; `auto` leaves it open.
        divisible: whether micro-batches give the same gradient as the whole batch, which BatchNorm's statistics forbid.
        quick: time each only briefly, where a wrong choice costs little.
        announce: called before something is timed, which may take a while.

    Raises:
        ZooError: not even one image fits into memory.
    """
    choices = candidates(device, asked.precision, asked.channels_last)
    best, why = choices[0], "as the recipe says"
    parts_open = asked.accumulate == "auto" and device.type == "cpu" and divisible and batch > MICRO_BATCHES[0]
    if len(choices) > 1 or parts_open:
        announce()
    with preserved_buffers(model), _room_for_optimizer(model, device):
        micro = _fits(model, size, batch, device, best) if asked.accumulate == "auto" else int(asked.accumulate)
        if len(choices) > 1:
            speeds = time_candidates(model, size, max(1, -(-batch // micro)), device, choices, quick=quick)
            best = fastest(speeds, CLEARLY)
            why = f"measured, images/s: {listed(speeds)}"
        if parts_open:
            speeds = _race_parts(model, size, batch, device, best, rounds=QUICK_ROUNDS if quick else ROUNDS)
            micro = fastest(speeds, WORTH_MEMORY)
            why += "; in parts of " + ", ".join(f"{-(-batch // parts)} {speed:.0f}" for parts, speed in speeds.items())
    return Choice(cast("Precision", best[0]), best[1], micro, why)


def candidates(device: torch.device, precision: str, channels_last: bool | str) -> list[Candidate]:
    """Return what may be chosen from, as (precision, whether channels_last); `auto` leaves it open."""
    precisions = _precisions(device) if precision == "auto" else [precision]
    layouts = [True, False] if channels_last == "auto" else [bool(channels_last)]
    return list(itertools.product(precisions, layouts))


def fastest(speeds: dict[T, float], clearly: float = CLEARLY) -> T:
    """Return the first candidate that no later one beats clearly."""
    best = next(iter(speeds))
    for candidate, speed in speeds.items():
        if speed > speeds[best] * clearly:
            best = candidate
    return best


def listed(speeds: dict[Candidate, float]) -> str:
    """Return candidates and their speeds as text, the fastest first."""
    ranked = sorted(speeds.items(), key=lambda item: -item[1])
    return ", ".join(f"{name}{' channels_last' if last else ''} {speed:.0f}" for (name, last), speed in ranked)


def _race_parts(
    model: nn.Module, size: int, batch: int, device: torch.device, candidate: Candidate, *, rounds: int = ROUNDS
) -> dict[int, float]:
    """Measure images per second by the number of micro-batches that a step is divided into, most first."""
    most = MOST_KEPT_BYTES / _kept_bytes(model, size, device, candidate[0])
    numbers = sorted(
        {-(-batch // part) for part in MICRO_BATCHES if min(part, batch) <= max(most, MICRO_BATCHES[0])}, reverse=True
    )
    times: dict[int, list[float]] = {parts: [] for parts in numbers}
    for _ in range(rounds):
        for parts in numbers:
            times[parts].append(_stepper(model, size, -(-batch // parts), device, candidate)())
    return {parts: -(-batch // parts) / min(seconds) for parts, seconds in times.items()}


def _kept_bytes(model: nn.Module, size: int, device: torch.device, precision: str) -> float:
    """Measure the bytes that a forward pass keeps for the backward one, for each additional image."""

    def kept(images: int) -> int:
        found: dict[int, int] = {parameter.untyped_storage().data_ptr(): 0 for parameter in model.parameters()}
        # Kept alive, or the memory of one would be another's.
        tensors: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            found.setdefault(storage.data_ptr(), storage.nbytes())
            tensors.append(tensor)
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32"):
            model(torch.zeros(images, 3, size, size, device=device))
        return sum(found.values())

    # What does not grow with the images, such as weights that are computed, cancels out.
    return max(1, kept(4) - kept(2)) / 2


def _precisions(device: torch.device) -> list[str]:
    """Return the precisions worth timing: on a CPU without native bf16 each value is converted one by one."""
    if device.type == "cpu":
        return ["fp32", "bf16"] if native_bf16(device) else ["fp32"]
    return ["bf16", "fp16", "fp32"] if device.type == "cuda" and torch.cuda.is_bf16_supported() else ["fp32"]


def time_candidates(
    model: nn.Module,
    size: int,
    batch: int,
    device: torch.device,
    candidates: list[Candidate],
    *,
    backward: bool = True,
    quick: bool = False,
) -> dict[Candidate, float]:
    """Measure images per second of each candidate; a hopeless one keeps the figure of its first few images.

    Args:
        model, size, batch, device: what is timed.
        candidates: precision and whether channels_last.
        backward: time the backward pass with the forward one.
        quick: leave it at the first few images.

    One whose loss is not finite, or that does not fit into memory, has a speed of 0.
    """
    few = min(FEW_IMAGES, batch)
    speeds = {}
    for candidate in candidates:
        step = _guarded(model, size, few, device, candidate, backward=backward)
        step()
        speeds[candidate] = few / _seconds_of(step)
    best = max(speeds.values())
    if not best or quick:
        return speeds
    enough = batch if device.type != "cpu" or batch / best <= WHOLE_SECONDS else min(ENOUGH_IMAGES, batch)
    alive = [candidate for candidate in candidates if speeds[candidate] * HOPELESS >= best]

    def timed(candidate: Candidate) -> float:
        return _seconds_of(_guarded(model, size, enough, device, candidate, backward=backward))

    times = _rounds(timed, alive)
    found = {candidate: 0.0 if math.inf in seconds else enough / min(seconds) for candidate, seconds in times.items() if seconds}
    return speeds | found


def _seconds_of(step: Callable[[], float]) -> float:
    """Return the seconds of a step; of a short one the better of two."""
    seconds = step()
    return seconds if seconds > SHORT_SECONDS else min(seconds, step())


def _rounds(timed: Callable[[Candidate], float], alive: list[Candidate]) -> dict[Candidate, list[float]]:
    """Time candidates in turn, so that a machine that slows down does so for all; more rounds for those that are close."""
    times: dict[Candidate, list[float]] = {candidate: [] for candidate in alive}
    started = time.perf_counter()
    for number in range(MOST_ROUNDS):
        if number >= ROUNDS:
            if time.perf_counter() - started > PATIENCE_SECONDS:
                break
            least = min(min(seconds) for seconds in times.values())
            alive = [candidate for candidate in alive if min(times[candidate]) <= least * CLOSE]
        if len(alive) == 1:
            break
        for candidate in alive:
            times[candidate].append(timed(candidate))
        alive = [candidate for candidate in alive if math.isfinite(times[candidate][-1])] or alive[:1]
    return times


def _stepper(
    model: nn.Module, size: int, batch: int, device: torch.device, candidate: Candidate, *, backward: bool = True
) -> Callable[[], float]:
    """Make a function that runs a forward pass in one precision and layout, and the backward one, and returns its seconds.

    Infinite where the loss is not finite.
    """
    precision, channels_last = candidate
    layout = memory_format(channels_last)
    model.to(memory_format=layout)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, size, size, generator=generator).to(device, memory_format=layout)

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


def _guarded(model: nn.Module, *arguments: Any, **options: Any) -> Callable[[], float]:
    """Make a `_stepper` whose steps take for ever where a GPU has no room for them."""
    try:
        step = _stepper(model, *arguments, **options)
    except torch.OutOfMemoryError:
        _free(model)
        return lambda: math.inf

    def guarded() -> float:
        try:
            return step()
        except torch.OutOfMemoryError:
            _free(model)
            return math.inf

    return guarded


def _free(model: nn.Module) -> None:
    model.zero_grad()
    torch.cuda.empty_cache()


@contextlib.contextmanager
def _room_for_optimizer(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Keep a GPU's memory for what comes later: an optimizer's two moments, and an average of the weights."""
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    try:
        kept = torch.empty(3 * count if device.type != "cpu" else 0, device=device)
    except torch.OutOfMemoryError:
        raise ZooError("backbone.name", "its optimizer does not fit into memory", "choose a smaller one") from None
    yield
    del kept


def _fits(model: nn.Module, size: int, batch: int, device: torch.device, candidate: Candidate) -> int:
    """Find the fewest micro-batches that fit into a GPU's memory, by doubling."""
    micro = 1
    while device.type != "cpu":
        try:
            _stepper(model, size, -(-batch // micro), device, candidate)()
            break
        except torch.OutOfMemoryError:
            _free(model)
            if micro >= batch:
                raise ZooError("train.batch_size", "not even one image fits into memory", "lower image_size") from None
            micro = min(micro * 2, batch)
    return micro


@contextlib.contextmanager
def preserved_buffers(model: nn.Module) -> Iterator[None]:
    """Give a model its buffers back after it was measured: BatchNorm counts every forward pass."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
