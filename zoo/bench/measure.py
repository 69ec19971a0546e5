"""One model measured, in a process of its own: through the project's own `train_step` and `evaluate`.

The steps of a mode, its batches and both end to end take turns, a block of each: where other work shares the machine, its
speed changes within seconds, and what is compared should be measured side by side.
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

from zoo.bench import images
from zoo.bench.peak import matrix_peak
from zoo.bench.steps import PreparedModel, Step, choose_batch, main_mode, native_size, prepare, seconds_of, step_alone, step_on
from zoo.data.augment import Augment
from zoo.data.batches import Batches, Preprocessing, resident
from zoo.data.resize import Normalize
from zoo.models.build import build_model, data_config
from zoo.models.flops import count_costs
from zoo.models.options import Backbone
from zoo.models.options import RandomWeights as RandomWeights
from zoo.system import launch
from zoo.system.device import device_name, peak_memory_mb, reset_peak_memory, synchronize
from zoo.system.threads import announce_threads, set_threads

Say = Callable[[dict[str, Any]], None]

# A model's steps are at least so many and take so many seconds; those on pixels, either of them, but a few they are.
STEPS, SECONDS, FEWEST = 10, 5.0, 3
# Warm-up ends when a step takes as long as the one before it, or after so many steps, or seconds after the first.
STEADY, MOST_WARM_UP, LONGEST_WARM_UP = 0.05, 12, 5.0
# The backward pass takes two products for each one of the forward pass: with respect to inputs and to weights.
PASSES = {"infer": 1, "train": 3}
# How many turns each kind of step takes, where there are enough steps for it.
BLOCKS = 5


def stamp(_asked: Mapping[str, Any], say: Say) -> None:
    """Say what this machine measures on."""
    device = _device()
    say({"device": device_name(device), "device_type": device.type})


def measure(asked: Mapping[str, Any], say: Say) -> None:
    """Measure a model: timm's layers as they are and memory as the system gives it, so that rows compare with timm's own.

    A run is faster: it changes some layers on a CPU (`zoo.convolution`, `zoo.fold`) and keeps memory (`launch.keep_memory`).

    Args:
        asked: `model`, the values of `bench.Settings`, and `files`, the images to make batches of.
        say: gets the columns of the row as they become known.
    """
    warnings.simplefilter("ignore")
    announce_threads(asked["threads"] or "auto", launch.read())
    threads = set_threads(asked["threads"] or "auto", launch.read())
    device = _device()
    say({"threads": threads, "device": device_name(device)})
    torch.manual_seed(0)
    name = asked["model"]
    size = asked["image_size"] or native_size(name)
    model = build_model(Backbone(name=name, weights=RandomWeights()), None, asked["classes"], size).model
    say({"param_count": round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)})
    gmacs, macts = count_costs(model.eval(), torch.zeros(1, 3, size, size))
    say({"gmacs": round(gmacs, 3), "infer_gmacs": round(gmacs, 2), "infer_macts": round(macts, 2)})
    subject = prepare(asked, model.to(device), size, device)
    subject.gmacs = gmacs
    choose_batch(subject)
    with subject.warming():
        subject.peak = matrix_peak(device, subject.precision)
    facts = {"precision": subject.precision, "channels_last": subject.channels_last, "choice": subject.why}
    say(facts | {"matrix_tflops": round(subject.peak, 4)})
    # Inference first, and done before training begins: it is faster where training has left the C library's heap large.
    for mode in asked["modes"]:
        say(_mode(subject, mode))
    say({"timed_seconds": round(subject.timed, 2), "warmup_seconds": round(subject.warm_up, 2)})


def _device() -> torch.device:
    return torch.device(PartialState(cpu=launch.on_cpu()).device or "cpu")


# -------------------------------------------------------------------------------------- timing


@dataclass
class Series:
    """Steps of one kind, timed in blocks.

    Args:
        brief: stop at a few steps where they take long.
        note: asked after each step that is timed, and its answer kept.
    """

    subject: PreparedModel
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
        """The median of the steps that were timed."""
        return float(np.median(self.seconds))

    def block(self) -> None:
        """Time the next block of steps; before the first one, warm up."""
        if self.blocks is None:
            self.blocks = iter(in_blocks(self._warm_up()))
            count = next(self.blocks)
        elif count := next(self.blocks, 0):
            # Caches and memory are as another kind of step left them.
            with self.subject.warming():
                seconds_of(self.step, self.subject)
            self.warm_up += 1
        for _ in range(count):
            self.seconds.append(seconds_of(self.step, self.subject))
            self.subject.timed += self.seconds[-1]
            if self.note:
                self.notes.append(self.note())

    def _warm_up(self) -> int:
        """Take steps until they are steady; returns how many are to be timed, the same on all processes."""
        subject = self.subject
        with subject.warming():
            self.first = last = seconds_of(self.step, subject)
            self.warm_up, spent = 1, 0.0
            while self.warm_up < MOST_WARM_UP:
                now = seconds_of(self.step, subject)
                self.warm_up, spent = self.warm_up + 1, spent + now
                steady = abs(now / last - 1) <= STEADY
                last = now
                if subject.agreed(steady or spent > LONGEST_WARM_UP):
                    break
        enough = math.ceil(SECONDS / last)
        count = subject.asked["steps"] or (max(FEWEST, min(STEPS, enough)) if self.brief else max(STEPS, enough))
        return subject.agreed(count)


def in_blocks(steps: int) -> list[int]:
    """Steps of each block: nearly the same, and at least two where there are two."""
    blocks = min(BLOCKS, max(1, steps // 2))
    return [(number + 1) * steps // blocks - number * steps // blocks for number in range(blocks)]


def _mode(subject: PreparedModel, mode: str) -> dict[str, Any]:
    """Time the steps of a mode, its batches and both together in turn; returns the columns."""
    device = subject.accelerator.device
    reset_peak_memory(device)
    alone = Series(subject, step_alone(subject, mode))
    alone.block()
    memory = peak_memory_mb(device)
    pixels = _Pixels(subject, mode)
    batches = Series(subject, pixels.make, brief=True)
    together = Series(subject, step_on(subject, mode, pixels.make), brief=True, note=lambda: pixels.last)
    batches.block()
    together.block()
    for _ in range(1, BLOCKS):
        for series in (alone, batches, together):
            series.block()
    return _alone(subject, mode, alone, memory) | _on_pixels(subject, mode, batches, together)


def _alone(subject: PreparedModel, mode: str, series: Series, memory: float) -> dict[str, Any]:
    """The columns of a mode with the model alone."""
    total, rate = subject.total, subject.total / series.median
    fast, slow = np.quantile(series.seconds, [0.1, 0.9]).tolist()
    tflops = 2 * subject.gmacs * PASSES[mode] * rate / 1e3
    values = {
        "samples_per_sec": round(rate, 2),
        "step_time": round(1e3 * series.median, 3),
        "batch_size": subject.batch,
        "img_size": subject.size,
        "samples_per_sec_p10": round(total / slow, 2),
        "samples_per_sec_p90": round(total / fast, 2),
        "step_time_p10": round(1e3 * fast, 3),
        "step_time_p90": round(1e3 * slow, 3),
        "steps": len(series.seconds),
        "warmup_steps": series.warm_up,
        "first_step_time": round(1e3 * series.first, 3),
        "peak_memory_mb": round(memory),
        "tflops": round(tflops, 4),
        "peak_share": round(tflops / subject.accelerator.num_processes / subject.peak, 4),
    }
    return {f"{mode}_{name}": value for name, value in values.items()}


# -------------------------------------------------------------------------------------- pixels


class _Pixels:
    """Makes the batches of one mode, one after another. `last`: seconds that the last one took."""

    def __init__(self, subject: PreparedModel, mode: str) -> None:
        facts = data_config(subject.asked["model"])
        split = images.split(subject.asked["files"], subject.size, 4 * subject.total, subject.classes)
        way = Preprocessing(Normalize(facts["mean"], facts["std"]), facts["interpolation"], facts["crop_pct"])
        device = subject.accelerator.device
        there = resident(split.pixels, device)
        self.batches = Batches(split, way, subject.classes, device, channels_last=subject.channels_last, resident=there)
        self.subject, self.mode, self.number, self.last = subject, mode, 0, 0.0

    def make(self) -> tuple[Tensor, Tensor]:
        """The next batch. A GPU is waited for, so that the batch's time is its own."""
        started, subject = time.perf_counter(), self.subject
        positions = (np.arange(subject.total) + self.number * subject.total) % len(self.batches)
        rank = subject.accelerator.process_index
        mine = slice(rank * subject.batch, (rank + 1) * subject.batch)
        if self.mode == "train":
            made = self.batches.training(positions, mine, subject.size, Augment(), 0, self.number)
        else:
            made = self.batches.evaluation(positions[mine], subject.size)
        synchronize(subject.accelerator.device)
        self.number += 1
        self.last = time.perf_counter() - started
        return made


def _on_pixels(subject: PreparedModel, mode: str, batches: Series, together: Series) -> dict[str, Any]:
    """The columns of a mode with batches made of pixels: alone, and end to end."""
    share = float(np.median([own / whole for own, whole in zip(together.notes, together.seconds, strict=True)]))
    values = {
        "data_samples_per_sec": round(subject.total / batches.median, 2),
        "end_to_end_samples_per_sec": round(subject.total / together.median, 2),
        "data_share": round(share, 4),
        # A batch is made where the model runs, so what takes longer is what a step waits for.
        "verdict": "data-bound" if share > 0.5 else "model-bound",
    }
    main = {name: values[name] for name in ("data_share", "verdict")} if mode == main_mode(subject) else {}
    return {f"{mode}_{name}": value for name, value in values.items()} | main
