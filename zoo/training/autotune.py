"""Choose precision, memory layout and micro-batches by measuring the real model.

The fastest choice differs between machines and models: on one CPU bf16 doubled ResNet-18's speed, on another it
was slower than fp32, on a third without native bf16 it was sixteen times slower. So a few steps are timed.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from zoo.recipe.sections import Train
from zoo.system.device import DTYPES, native_bf16
from zoo.training.trial import Candidate, fewest_micro_batches, guarded, preserved_buffers, room_for_training, stepper

T = TypeVar("T")
Precision = Literal["fp32", "bf16", "fp16"]

# Factor by which a candidate must be faster than an earlier one, so that noise does not decide.
CLEARLY = 1.01
# Candidates within this factor of the fastest one are timed for more rounds, because their order is not yet certain.
CLOSE = 1.1
# Candidates that are slower than the fastest one by this factor on a few images are not tried on more.
HOPELESS = 1.5
# Images in the first, quick timing of a candidate.
FEW_IMAGES = 8
# Images that are enough to compare candidates if a whole batch takes too long.
ENOUGH_IMAGES = 16
# Rounds in which each candidate is timed.
ROUNDS = 3
# Rounds for micro-batches if `quick`: the first round of a size also allocates its memory.
QUICK_ROUNDS = 2
# Most rounds, for candidates that are close.
MOST_ROUNDS = 8
# Most seconds of a whole batch; if it takes longer, candidates are compared on fewer images.
WHOLE_SECONDS = 0.5
# Steps of at most this many seconds are timed twice: the first one in a new layout has one-time costs.
SHORT_SECONDS = 0.5
# Seconds after which close candidates are no longer timed.
PATIENCE_SECONDS = 4.0
# Seconds after which no further round is started: on a busy machine, a step may take many times as long as usual.
MOST_SECONDS = 15.0
# Warm-up steps of a candidate on a GPU, in which kernels are chosen and memory is allocated.
WARM_UPS = 3
# Micro-batch sizes, in images, that are tried on a CPU.
MICRO_BATCHES = (8, 16, 32)
# Factor by which a larger micro-batch must be faster, because a smaller one takes less memory.
WORTH_MEMORY = 1.05
# Most bytes that a micro-batch may keep for the backward pass.
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
    processes: int = 1,
    quick: bool = False,
    announce: Callable[[], None] = lambda: None,
) -> Choice:
    """Time a few steps of every allowed combination and take the fastest.

    Args:
        model: on its device; its parameters and buffers stay the same, its memory format may change.
        size: side of the images in pixels.
        batch: images in a step of this process.
        device: where the model is.
        asked: the recipe's `precision`, `channels_last` and `accumulate`; `auto` leaves it open.
        divisible: whether micro-batches give the same gradient as the whole batch, which they do not if BatchNorm trains.
        processes: number of processes that train together.
        quick: time each candidate only briefly, for when a wrong choice costs little.
        announce: called before something is timed, which may take a while.

    Raises:
        ZooError: not even one image fits into memory.
    """
    choices = candidates(device, asked.precision, asked.channels_last)
    best, why = choices[0], "as the recipe says"
    parts_open = asked.accumulate == "auto" and device.type == "cpu" and divisible and batch > MICRO_BATCHES[0]
    if len(choices) > 1 or parts_open:
        announce()
    with preserved_buffers(model), room_for_training(model, device, processes):
        micro = fewest_micro_batches(model, size, batch, device, best) if asked.accumulate == "auto" else int(asked.accumulate)
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
    """Return the combinations to choose from, as (precision, whether channels_last); `auto` leaves one of them open."""
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
    """Measure images per second for each number of micro-batches in a step, the largest number first."""
    most = MOST_KEPT_BYTES / _kept_bytes(model, size, device, candidate[0])
    numbers = sorted(
        {-(-batch // part) for part in MICRO_BATCHES if min(part, batch) <= max(most, MICRO_BATCHES[0])}, reverse=True
    )
    times: dict[int, list[float]] = {parts: [] for parts in numbers}
    started = time.perf_counter()
    for number in range(rounds):
        if number and time.perf_counter() - started > MOST_SECONDS:
            break
        for parts in numbers:
            times[parts].append(stepper(model, size, -(-batch // parts), device, candidate)())
    return {parts: -(-batch // parts) / min(seconds) for parts, seconds in times.items()}


def _kept_bytes(model: nn.Module, size: int, device: torch.device, precision: str) -> float:
    """Measure the bytes that a forward pass keeps for the backward pass, per additional image."""

    def kept(images: int) -> int:
        found: dict[int, int] = {parameter.untyped_storage().data_ptr(): 0 for parameter in model.parameters()}
        # Keeps the tensors alive, so that no later one reuses the memory of an earlier one.
        tensors: list[Tensor] = []

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            found.setdefault(storage.data_ptr(), storage.nbytes())
            tensors.append(tensor)
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32"):
            model(torch.zeros(images, 3, size, size, device=device))
        return sum(found.values())

    # Tensors that do not grow with the number of images, such as computed weights, cancel out.
    return max(1, kept(4) - kept(2)) / 2


def _precisions(device: torch.device) -> list[str]:
    """Return the precisions worth timing.

    A CPU without native bf16 converts each value one by one. On a GPU with native bf16, fp16 is as fast, and noise would
    decide between two numeric regimes; a GPU without native bf16 emulates it.
    """
    if native_bf16(device):
        return ["fp32", "bf16"] if device.type == "cpu" else ["bf16", "fp32"]
    return ["fp16", "fp32"] if device.type == "cuda" else ["fp32"]


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
    """Measure images per second of each candidate; a hopeless one keeps the speed measured on its first few images.

    Args:
        model, size, batch, device: of the steps to time, as for `stepper`.
        candidates: precision and whether channels_last.
        backward: time the backward pass too.
        quick: time the first few images only.

    A candidate whose loss is not finite, or that does not fit into memory, has a speed of 0.

    On a CPU, a few images are timed first. On a GPU they would tell nothing: launching the kernels would take longer than
    running them, and candidates differ in their number of kernels.
    """
    if device.type != "cpu":
        return _race(model, size, batch, device, candidates, backward=backward)
    few = min(FEW_IMAGES, batch)
    speeds = {}
    for candidate in candidates:
        step = guarded(model, size, few, device, candidate, backward=backward)
        step()
        speeds[candidate] = few / _seconds_of(step)
    best = max(speeds.values())
    if not best or quick:
        return speeds
    enough = batch if batch / best <= WHOLE_SECONDS else min(ENOUGH_IMAGES, batch)
    alive = [candidate for candidate in candidates if speeds[candidate] * HOPELESS >= best]
    return speeds | _race(model, size, enough, device, alive, backward=backward)


def _race(
    model: nn.Module, size: int, batch: int, device: torch.device, candidates: list[Candidate], *, backward: bool
) -> dict[Candidate, float]:
    """Measure images per second of candidates in turns; a single candidate is not timed and has no entry."""

    def timed(candidate: Candidate) -> float:
        step = guarded(model, size, batch, device, candidate, backward=backward)
        for _ in range(WARM_UPS if device.type != "cpu" else 0):
            step()
        return _seconds_of(step)

    times = _rounds(timed, candidates)
    return {candidate: 0.0 if math.inf in seconds else batch / min(seconds) for candidate, seconds in times.items() if seconds}


def _seconds_of(step: Callable[[], float]) -> float:
    """Return the seconds of a step; a short step is timed twice, and the faster time counts."""
    seconds = step()
    return seconds if seconds > SHORT_SECONDS else min(seconds, step())


def _rounds(timed: Callable[[Candidate], float], alive: list[Candidate]) -> dict[Candidate, list[float]]:
    """Time candidates in turn, so that a slowdown of the machine affects all of them; close ones get more rounds."""
    times: dict[Candidate, list[float]] = {candidate: [] for candidate in alive}
    started = time.perf_counter()
    for number in range(MOST_ROUNDS):
        spent = time.perf_counter() - started
        if number and spent > MOST_SECONDS:
            break
        if number >= ROUNDS:
            if spent > PATIENCE_SECONDS:
                break
            least = min(min(seconds) for seconds in times.values())
            alive = [candidate for candidate in alive if min(times[candidate]) <= least * CLOSE]
        if len(alive) == 1:
            break
        for candidate in alive:
            times[candidate].append(timed(candidate))
        alive = [candidate for candidate in alive if math.isfinite(times[candidate][-1])] or alive[:1]
    return times
