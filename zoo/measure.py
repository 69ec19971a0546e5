"""One model measured, in a process of its own: through the project's own `train_step` and `evaluate`.

The steps of a mode, its batches and both end to end take turns, a block of each. Where other work shares
the machine, its speed changes from one quarter of a minute to the next: what is compared should be measured side by side,
and what is said of the spread should hold for the next benchmark too.
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

from zoo import gauge, launch, operations, photographs, weights
from zoo.augment import Augment
from zoo.backbone import Backbone
from zoo.backbone import Random as RandomWeights
from zoo.batches import Batches, Preprocessing
from zoo.resample import Normalise
from zoo.subject import Step, Subject, choose_batch, main_mode, native_size, prepare, seconds_of, step_alone, step_on

Say = Callable[[dict[str, Any]], None]

# A measurement takes at least so many steps and so many seconds; what it is compared with, either of them.
STEPS, SECONDS, FEWEST = 10, 5.0, 3
# Warm-up ends when a step takes as long as the one before it, or after so many steps or seconds.
STEADY, MOST_WARM_UP, LONGEST_WARM_UP = 0.05, 12, 5.0
# The backward pass takes two products for each one of the forward pass: with respect to inputs and to weights.
PASSES = {"infer": 1, "train": 3}
# Kinds of steps take so many turns.
BLOCKS = 5


def stamp(_asked: Mapping[str, Any], say: Say) -> None:
    """Say what this machine measures on."""
    device = _device()
    say({"device": gauge.device_name(device), "device_type": device.type})


def measure(asked: Mapping[str, Any], say: Say) -> None:
    """Measure a model: timm's layers as they are and memory as the system gives it, so that rows compare with timm's own.

    A run is faster: it changes some layers on a CPU (`zoo.convolution`, `zoo.fold`) and keeps memory (`launch.keep_memory`).

    Args:
        asked: `model`, the values of `bench.Settings`, and `files`, the images to make batches of.
        say: gets the columns of the row as they become known.
    """
    warnings.simplefilter("ignore")
    threads = launch.set_threads(asked["threads"] or "auto", launch.read())
    device = _device()
    say({"threads": threads, "device": gauge.device_name(device)})
    torch.manual_seed(0)
    name = asked["model"]
    size = asked["image_size"] or native_size(name)
    model = weights.build(Backbone(name=name, weights=RandomWeights()), None, asked["classes"], size).model
    say({"param_count": round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)})
    gmacs, macts = operations.count(model.eval(), torch.zeros(1, 3, size, size))
    say({"gmacs": round(gmacs, 3), "infer_gmacs": round(gmacs, 2), "infer_macts": round(macts, 2)})
    subject = prepare(asked, model.to(device), size, device)
    subject.gmacs = gmacs
    choose_batch(subject)
    with subject.warming():
        subject.peak = gauge.matrix_peak(device, subject.precision)
    facts = {"precision": subject.precision, "channels_last": subject.channels_last, "choice": subject.why}
    say(facts | {"matrix_tflops": round(subject.peak, 4)})
    # One after the other: how fast inference is depends on whether training has left the C library's heap large.
    for mode in asked["modes"]:
        for columns in _rounds(subject, mode):
            say(columns)
    say({"timed_seconds": round(subject.timed, 2), "warmup_seconds": round(subject.warm_up, 2)})


def _device() -> torch.device:
    return torch.device(PartialState(cpu=launch.on_cpu()).device or "cpu")


# -------------------------------------------------------------------------------------- timing


@dataclass
class Series:
    """Steps of one kind, timed in blocks.

    Args:
        brief: stop at a few steps where they take long.
        aside: asked after each step that is timed, and its answer kept.
    """

    subject: Subject
    step: Step
    brief: bool = False
    aside: Callable[[], float] | None = None
    first: float = 0.0
    warm_up: int = 0
    seconds: list[float] = field(default_factory=list)
    asides: list[float] = field(default_factory=list)
    _blocks: Iterator[int] | None = None

    @property
    def median(self) -> float:
        """The median of the steps that were timed."""
        return float(np.median(self.seconds))

    def block(self) -> None:
        """Time the next steps. Their number is known beforehand and the same on all processes."""
        if self._blocks is None:
            self._blocks = iter(_shares(self._warm_up()))
            count = next(self._blocks)
        elif count := next(self._blocks):
            # What another kind of step left of caches and memory is not this one's.
            with self.subject.warming():
                seconds_of(self.step, self.subject)
        for _ in range(count):
            self.seconds.append(seconds_of(self.step, self.subject))
            self.subject.timed += self.seconds[-1]
            if self.aside:
                self.asides.append(self.aside())

    def _warm_up(self) -> int:
        """Take steps until they are steady; returns how many are to be timed."""
        subject = self.subject
        with subject.warming():
            self.first = last = seconds_of(self.step, subject)
            self.warm_up, started = 1, time.perf_counter()
            while self.warm_up < MOST_WARM_UP:
                now = seconds_of(self.step, subject)
                self.warm_up += 1
                steady = abs(now / last - 1) <= STEADY
                last = now
                if subject.agreed(steady or time.perf_counter() - started > LONGEST_WARM_UP):
                    break
            enough = math.ceil(SECONDS / last)
            count = subject.asked["steps"] or (max(FEWEST, min(STEPS, enough)) if self.brief else max(STEPS, enough))
            return subject.agreed(count)


def _shares(steps: int) -> list[int]:
    """Steps of each block: as even as can be, and each step in one of them."""
    return [len(block) for block in np.array_split(np.arange(steps), BLOCKS)]


def _rounds(subject: Subject, mode: str) -> Iterator[dict[str, Any]]:
    """Time the steps of a mode, its batches and both together in turn; yields the columns as they are after each round."""
    device = subject.accelerator.device
    gauge.forget_peak(device)
    alone = Series(subject, step_alone(subject, mode))
    alone.block()
    memory = gauge.peak_memory_mb(device)
    yield _alone(subject, mode, alone, memory)
    pixels = _Pixels(subject, mode)
    pixels.block()
    for _ in range(1, BLOCKS):
        alone.block()
        pixels.block()
        yield _alone(subject, mode, alone, memory) | pixels.columns()


def _alone(subject: Subject, mode: str, series: Series, memory: float) -> dict[str, Any]:
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
    """Makes the batches of one mode, one after another, and times them alone and with the model's steps."""

    def __init__(self, subject: Subject, mode: str) -> None:
        facts = weights.data_config(subject.asked["model"])
        split = photographs.split(subject.asked["files"], subject.size, 4 * subject.total, subject.classes)
        way = Preprocessing(Normalise(facts["mean"], facts["std"]), facts["interpolation"], facts["crop_pct"])
        device = subject.accelerator.device
        self.batches = Batches(split, way, subject.classes, device, channels_last=subject.channels_last)
        self.subject, self.mode = subject, mode
        self.number, self.seconds = 0, 0.0
        self.alone = Series(subject, self.make, brief=True)
        self.together = Series(subject, step_on(subject, mode, self.make), brief=True, aside=lambda: self.seconds)

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
        gauge.synchronise(subject.accelerator.device)
        self.number += 1
        self.seconds = time.perf_counter() - started
        return made

    def block(self) -> None:
        """Time the next batches, and the next steps on batches."""
        self.alone.block()
        self.together.block()

    def columns(self) -> dict[str, Any]:
        """The columns of the mode with batches made of pixels: alone, and end to end."""
        total = self.subject.total
        share = float(np.median([own / whole for own, whole in zip(self.together.asides, self.together.seconds, strict=True)]))
        values = {
            "data_samples_per_sec": round(total / self.alone.median, 2),
            "end_to_end_samples_per_sec": round(total / self.together.median, 2),
            "data_share": round(share, 4),
            # A batch is made where the model runs, so what takes longer is what a step waits for.
            "verdict": "data-bound" if share > 0.5 else "model-bound",
        }
        main = {name: values[name] for name in ("data_share", "verdict")} if self.mode == main_mode(self.subject) else {}
        return {f"{self.mode}_{name}": value for name, value in values.items()} | main
