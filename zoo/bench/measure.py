"""Measure one model inside its worker process, through the project's own `train_step` and `evaluate`.

A mode has three kinds of steps: the model alone, its batches alone, and both end to end. They take turns, one block of steps
at a time: other work on the machine changes its speed within seconds, so steps to compare must be timed close together.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor

from zoo.bench import images, rows
from zoo.bench.peak import matrix_peak
from zoo.bench.settings import INFER, TRAIN, Request
from zoo.bench.steps import PreparedModel, Step, choose_batch, native_size, prepare, seconds_of, step_alone, step_on
from zoo.data.augment import Augment
from zoo.data.batches import Batches, Preprocessing, resident
from zoo.data.resize import Normalize
from zoo.models.build import build_model, data_config
from zoo.models.flops import count_costs
from zoo.models.options import Backbone, RandomWeights
from zoo.system import launch
from zoo.system.device import device_name, indexed, peak_memory_mb, reset_peak_memory, set_kernels, synchronize
from zoo.system.threads import announce_threads, set_threads

Say = Callable[[dict[str, Any]], None]

# Minimum number of timed steps of the model alone: fewer have no percentiles.
STEPS = 10
# Minimum seconds of these steps together: a shorter time would show only one moment of the machine.
SECONDS = 5.0
# Minimum number of timed steps with images; above it, `STEPS` or `SECONDS` of them, whichever is less, are enough.
FEWEST = 3
# Warm-up ends when the seconds of a step differ from the previous step's by at most this share ...
STEADY = 0.05
# ... or after this many steps ...
MOST_WARM_UP = 12
# ... or after this many seconds since the first step: some models never become steady.
LONGEST_WARM_UP = 5.0
# Matrix products of a step per product of the forward pass: the backward pass has two, for inputs and for weights.
PASSES = {INFER: 1, TRAIN: 3}
# Number of blocks of each kind of step, if it has enough steps.
BLOCKS = 5


def stamp(_arguments: Mapping[str, Any], say: Say) -> None:
    """Report the device of this machine."""
    device = _device()
    say({"device": device_name(device), "device_type": device.type})


def measure(arguments: Mapping[str, Any], say: Say) -> None:
    """Measure a model with timm's layers and the default memory allocator, so that rows are comparable to timm's benchmark.

    A training run is faster on a CPU: it replaces some layers (`zoo.models.fast_conv`, `zoo.models.fold_batchnorm`) and
    keeps freed memory (`zoo.system.threads`).

    Args:
        arguments: `request`, a `Request`.
        say: called with columns of the row as they become known.
    """
    request: Request = arguments["request"]
    settings = request.settings
    warnings.simplefilter("ignore")
    announce_threads(settings.threads or "auto", launch.read())
    threads = set_threads(settings.threads or "auto", launch.read())
    device = _device()
    say({"threads": threads, "device": device_name(device)})
    torch.manual_seed(0)
    size = settings.image_size or native_size(request.model)
    model = build_model(Backbone(name=request.model, weights=RandomWeights()), None, settings.classes, size).model
    say({"param_count": round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)})
    gmacs, macts = count_costs(model.eval(), torch.zeros(1, 3, size, size))
    say({"gmacs": round(gmacs, 3), "infer_gmacs": round(gmacs, 2), "infer_macts": round(macts, 2)})
    prepared = prepare(request, model.to(device), size, device)
    prepared.gmacs = gmacs
    choose_batch(prepared)
    with prepared.warming():
        prepared.peak = matrix_peak(device, prepared.precision)
    facts = {"precision": prepared.precision, "channels_last": prepared.channels_last, "choice": prepared.why}
    say(facts | {"matrix_tflops": round(prepared.peak, 4)})
    # Inference comes first: it is slower after training, which leaves a large heap in the C library.
    for mode in settings.modes:
        say(_mode(prepared, mode))
    say({"timed_seconds": round(prepared.timed, 2), "warmup_seconds": round(prepared.warm_up, 2)})


def _device() -> torch.device:
    device = indexed(PartialState(cpu=launch.on_cpu()).device)
    set_kernels(device)
    return device


# -------------------------------------------------------------------------------------- timing


@dataclass
class Series:
    """Steps of one kind, timed in blocks.

    Args:
        prepared: the model.
        step: the step.
        brief: whether fewer steps are enough if they are slow.
        note: called after each timed step; its results are kept in `notes`.

    Attributes:
        first: seconds of the very first step.
        warm_up: number of steps that are not timed.
        seconds: seconds of each timed step.
    """

    prepared: PreparedModel
    step: Step
    brief: bool = False
    note: Callable[[], float] | None = None
    first: float = field(default=0.0, init=False)
    warm_up: int = field(default=0, init=False)
    seconds: list[float] = field(default_factory=list, init=False)
    notes: list[float] = field(default_factory=list, init=False)
    blocks: Iterator[int] | None = field(default=None, init=False)

    @property
    def median(self) -> float:
        """Return the median seconds of the timed steps."""
        return float(np.median(self.seconds))

    def block(self) -> None:
        """Time the next block of steps; warm up before the first one."""
        if self.blocks is None:
            self.blocks = iter(in_blocks(self._warm_up()))
            count = next(self.blocks)
        elif count := next(self.blocks, 0):
            # One untimed step first: the other kinds of steps have changed the caches and the memory.
            with self.prepared.warming():
                seconds_of(self.step, self.prepared)
            self.warm_up += 1
        for _ in range(count):
            self.seconds.append(seconds_of(self.step, self.prepared))
            self.prepared.timed += self.seconds[-1]
            if self.note:
                self.notes.append(self.note())

    def _warm_up(self) -> int:
        """Run steps until their times are steady; return the number of steps to time, the same on all processes."""
        prepared = self.prepared
        with prepared.warming():
            self.first = last = seconds_of(self.step, prepared)
            self.warm_up, spent = 1, 0.0
            while self.warm_up < MOST_WARM_UP:
                now = seconds_of(self.step, prepared)
                self.warm_up, spent = self.warm_up + 1, spent + now
                steady = abs(now / last - 1) <= STEADY
                last = now
                if prepared.agreed(steady or spent > LONGEST_WARM_UP):
                    break
        enough = math.ceil(SECONDS / last)
        count = prepared.settings.steps or (max(FEWEST, min(STEPS, enough)) if self.brief else max(STEPS, enough))
        return prepared.agreed(count)


def in_blocks(steps: int) -> list[int]:
    """Divide steps into at most `BLOCKS` blocks of nearly equal size; no block has a single step unless it is the only one."""
    blocks = min(BLOCKS, max(1, steps // 2))
    return [(number + 1) * steps // blocks - number * steps // blocks for number in range(blocks)]


def _mode(prepared: PreparedModel, mode: str) -> dict[str, Any]:
    """Time the model alone, its batches alone and both together in turns for one mode; return the columns of the row."""
    device = prepared.accelerator.device
    reset_peak_memory(device)
    alone = Series(prepared, step_alone(prepared, mode))
    alone.block()
    memory = peak_memory_mb(device)
    pixels = _Pixels(prepared, mode)
    batches = Series(prepared, pixels.make, brief=True)
    together = Series(prepared, step_on(prepared, mode, pixels.make), brief=True, note=lambda: pixels.last)
    batches.block()
    together.block()
    for _ in range(1, BLOCKS):
        for series in (alone, batches, together):
            series.block()
    columns = _alone(prepared, mode, alone, memory) | _on_pixels(prepared, mode, batches, together)
    slow, fast = (columns[f"{mode}_samples_per_sec_{end}"] for end in ("p10", "p90"))
    columns[f"{mode}_verdict"] = rows.verdict(columns[f"{mode}_data_share"], slow, fast)
    if mode == prepared.settings.main_mode:
        columns |= {name: columns[f"{mode}_{name}"] for name in ("data_share", "verdict")}
    return columns


def _alone(prepared: PreparedModel, mode: str, series: Series, memory: float) -> dict[str, Any]:
    """Return a mode's columns for the model alone."""
    total, rate = prepared.total, prepared.total / series.median
    fast, slow = np.quantile(series.seconds, [0.1, 0.9]).tolist()
    tflops = 2 * prepared.gmacs * PASSES[mode] * rate / 1e3
    values = {
        "samples_per_sec": round(rate, 2),
        "step_time": round(1e3 * series.median, 3),
        "batch_size": prepared.batch,
        "img_size": prepared.size,
        "samples_per_sec_p10": round(total / slow, 2),
        "samples_per_sec_p90": round(total / fast, 2),
        "step_time_p10": round(1e3 * fast, 3),
        "step_time_p90": round(1e3 * slow, 3),
        "steps": len(series.seconds),
        "warmup_steps": series.warm_up,
        "first_step_time": round(1e3 * series.first, 3),
        "peak_memory_mb": round(memory),
        "tflops": round(tflops, 4),
        "peak_share": round(tflops / prepared.accelerator.num_processes / prepared.peak, 4),
    }
    return {f"{mode}_{name}": value for name, value in values.items()}


# -------------------------------------------------------------------------------------- pixels


class _Pixels:
    """A source of batches for one mode, made from images one after another.

    Attributes:
        last: seconds that the latest batch took.
    """

    def __init__(self, prepared: PreparedModel, mode: str) -> None:
        request = prepared.request
        facts = data_config(request.model)
        classes = request.settings.classes
        split = images.make_split(request.files, prepared.size, 4 * prepared.total, classes)
        preprocessing = Preprocessing(Normalize(facts["mean"], facts["std"]), facts["interpolation"], facts["crop_pct"])
        device = prepared.accelerator.device
        there = resident(split.pixels, device)
        layout = prepared.channels_last
        self.batches = Batches(split, preprocessing, classes, device, channels_last=layout, resident=there)
        self.prepared, self.mode, self.number, self.last = prepared, mode, 0, 0.0

    def make(self) -> tuple[Tensor, Tensor]:
        """Make the next batch, images float32 [B, 3, S, S] and targets; wait for a GPU, so that `last` covers all its work."""
        started, prepared = time.perf_counter(), self.prepared
        positions = (np.arange(prepared.total) + self.number * prepared.total) % len(self.batches)
        rank = prepared.accelerator.process_index
        mine = slice(rank * prepared.batch, (rank + 1) * prepared.batch)
        if self.mode == TRAIN:
            made = self.batches.training(positions, mine, prepared.size, Augment(), 0, self.number)
        else:
            made = self.batches.evaluation(positions[mine], prepared.size)
        synchronize(prepared.accelerator.device)
        self.number += 1
        self.last = time.perf_counter() - started
        return made


def _on_pixels(prepared: PreparedModel, mode: str, batches: Series, together: Series) -> dict[str, Any]:
    """Return a mode's columns for batches made from images: the batches alone, and end to end."""
    share = float(np.median([own / whole for own, whole in zip(together.notes, together.seconds, strict=True)]))
    values = {
        "data_samples_per_sec": round(prepared.total / batches.median, 2),
        "end_to_end_samples_per_sec": round(prepared.total / together.median, 2),
        "data_share": round(share, 4),
    }
    return {f"{mode}_{name}": value for name, value in values.items()}
