"""One model measured, in a process of its own: through the project's own `train_step` and `evaluate`.

The weights are random, from a fixed seed, and the learning rate is 0: however many steps are timed, each does the
same work as the one before it.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import timm
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.utils import GradientAccumulationPlugin, broadcast_object_list
from torch import Tensor, nn

from zoo import gauge, launch, operations, optim, photographs, tune, weights
from zoo.augment import Augment
from zoo.backbone import Backbone
from zoo.backbone import Random as RandomWeights
from zoo.batches import Batches, Preprocessing
from zoo.resample import Normalise
from zoo.train import evaluate, losses, train_step

Say = Callable[[dict[str, Any]], None]
Step = Callable[[], Any]

# A measurement takes at least so many steps and so many seconds; what it is compared with, either of them.
STEPS, SECONDS, FEWEST = 10, 5.0, 3
# Warm-up ends when a step takes as long as the one before it, or after so many steps or seconds.
STEADY, MOST_WARM_UP, LONGEST_WARM_UP = 0.05, 12, 5.0
# Batch sizes to choose from on a CPU; one whose step would take longer than this many seconds is not tried.
SIZES, TOO_LONG = (8, 16, 32, 64, 128), 1.5
# The largest batch that is tried on a GPU, and what larger ones than that are multiples of.
LARGEST, MULTIPLE = 4096, 8
# Images that precision and layout are chosen on where the batch size is still open.
OPEN = 16
# The backward pass takes two products for each one of the forward pass: with respect to inputs and to weights.
PASSES = {"infer": 1, "train": 3}


@dataclass
class Subject:
    """What is measured: the model prepared as for a run, and what is asked of it."""

    asked: Mapping[str, Any]
    model: nn.Module
    accelerator: Accelerator
    optimizer: Any
    size: int
    precision: str
    channels_last: bool
    why: str
    gmacs: float = 0.0
    peak: float = 1.0
    batch: int = 1
    timed: float = 0.0
    warm_up: float = 0.0
    classes: int = field(init=False)

    def __post_init__(self) -> None:
        self.classes = self.asked["classes"]

    @property
    def total(self) -> int:
        """Images of a step over all processes."""
        return self.batch * self.accelerator.num_processes

    def agreed(self, value: Any) -> Any:
        """What the first process found: all do the same number of steps."""
        return broadcast_object_list([value])[0] if self.accelerator.num_processes > 1 else value

    @contextlib.contextmanager
    def warming(self) -> Iterator[None]:
        """Time what comes before the steps that count."""
        started = time.perf_counter()
        yield
        self.warm_up += time.perf_counter() - started


@dataclass(frozen=True)
class Timing:
    """Seconds of the first step, of each step that counts, and how many were between them."""

    first: float
    warm_up: int
    seconds: list[float]

    @property
    def median(self) -> float:
        """The median step."""
        return float(np.median(self.seconds))


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
    for mode in asked["modes"]:
        say(_alone(subject, mode))
    for mode in asked["modes"]:
        say(_on_pixels(subject, mode))
    say({"timed_seconds": round(subject.timed, 2), "warmup_seconds": round(subject.warm_up, 2)})


def _device() -> torch.device:
    return torch.device(PartialState(cpu=launch.on_cpu()).device or "cpu")


def native_size(name: str) -> int:
    """The side of the images that a backbone was made for."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return config.input_size[-1] if config else 224


# ------------------------------------------------------------------------------------- prepare


def prepare(asked: Mapping[str, Any], model: nn.Module, size: int, device: torch.device) -> Subject:
    """Choose precision and layout where they are open, and prepare the model as a run does (`job.set_up`)."""
    training = "train" in asked["modes"]
    candidates = tune.allowed(device, asked["precision"], asked["channels_last"])
    (precision, channels_last), why, started = candidates[0], "as asked", time.perf_counter()
    if len(candidates) > 1:
        model.train(training)
        with tune.untouched(model):
            speeds = tune.race(model, size, asked["batch_size"] or OPEN, device, candidates, backward=training)
        why = f"measured, images/s: {tune.listed(speeds)}"
        # All processes do what the first one measured.
        precision, channels_last = broadcast_object_list([tune.fastest(speeds)])[0]
    spent = time.perf_counter() - started
    model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    accelerator = Accelerator(
        cpu=launch.on_cpu(),
        mixed_precision={"fp32": "no"}.get(precision, precision),
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    optimizer = optim.build(optim.Optim(name=asked["optimizer"]), model) if training else None
    prepared = accelerator.prepare_model(model)
    optimizer = accelerator.prepare_optimizer(optimizer) if optimizer else None
    if asked["compile"]:
        prepared = cast("nn.Module", torch.compile(prepared))
    return Subject(asked, prepared, accelerator, optimizer, size, precision, channels_last, why, warm_up=spent)


def choose_batch(subject: Subject) -> None:
    """Set the images of a step: as asked, the largest that fits into a GPU, or the fastest of a few on a CPU."""
    if subject.asked["batch_size"]:
        subject.batch = subject.asked["batch_size"]
        return
    with subject.warming():
        on_cpu = subject.accelerator.device.type == "cpu"
        subject.batch = _fastest_batch(subject) if on_cpu else _largest_batch(subject)


def _fastest_batch(subject: Subject) -> int:
    speeds: dict[int, float] = {}
    for size in SIZES:
        subject.batch = size
        step = _step_alone(subject, _main_mode(subject))
        step()
        seconds = subject.agreed(min(seconds_of(step, subject), seconds_of(step, subject)))
        speeds[size] = size / seconds
        if 2 * seconds > TOO_LONG or speeds[size] < max(speeds.values()) / tune.HOPELESS:
            break
    return tune.fastest(speeds)


def _largest_batch(subject: Subject) -> int:
    """By doubling, then bisection."""

    def fits(size: int) -> bool:
        subject.batch = size
        try:
            step = _step_alone(subject, _main_mode(subject))
            step()
            step()
        except torch.OutOfMemoryError:
            fine = False
        else:
            fine = True
        if subject.optimizer is not None:
            subject.optimizer.zero_grad()
        torch.cuda.empty_cache()
        # A size that is too large for one process is too large for all.
        counts = torch.tensor([float(not fine)], device=subject.accelerator.device)
        return not cast("Tensor", subject.accelerator.reduce(counts, "sum")).item()

    fitting = 0
    while fitting < LARGEST and fits(2 * fitting or 1):
        fitting = 2 * fitting or 1
    if not fitting:
        raise torch.OutOfMemoryError("not even one image fits into memory")
    failing = 2 * fitting
    while fitting < LARGEST and failing - fitting > max(MULTIPLE, fitting // 16):
        middle = (fitting + failing) // 2 // MULTIPLE * MULTIPLE
        fitting, failing = (middle, failing) if fits(middle) else (fitting, middle)
    return fitting


def _main_mode(subject: Subject) -> str:
    return "train" if "train" in subject.asked["modes"] else "infer"


# -------------------------------------------------------------------------------------- timing


def seconds_of(step: Step, subject: Subject) -> float:
    """How long a step takes."""
    started = time.perf_counter()
    step()
    gauge.synchronise(subject.accelerator.device)
    return time.perf_counter() - started


def timed(step: Step, subject: Subject, *, brief: bool = False) -> Timing:
    """Warm up until steady, then time steps: their number is known beforehand and the same on all processes."""
    first = last = seconds_of(step, subject)
    warm_up, spent = 1, first
    while warm_up < MOST_WARM_UP:
        now = seconds_of(step, subject)
        warm_up, spent = warm_up + 1, spent + now
        steady = abs(now / last - 1) <= STEADY
        last = now
        if subject.agreed(steady or spent > LONGEST_WARM_UP):
            break
    enough = math.ceil(SECONDS / last)
    count = subject.asked["steps"] or (max(FEWEST, min(STEPS, enough)) if brief else max(STEPS, enough))
    seconds = [seconds_of(step, subject) for _ in range(subject.agreed(count))]
    subject.warm_up += spent
    subject.timed += sum(seconds)
    return Timing(first, warm_up, seconds)


class _Turn:
    """One evaluation batch as `evaluate` wants it: what `make` makes."""

    def __init__(self, total: int, make: Callable[[], tuple[Tensor, Tensor]]) -> None:
        self.total, self.make = total, make
        self.split = SimpleNamespace(targets=np.zeros(total, np.int64))

    def __len__(self) -> int:
        return self.total

    def evaluation(self, positions: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """The batch."""
        return self.make()


def _step(subject: Subject, mode: str, make: Callable[[], tuple[Tensor, Tensor]]) -> Step:
    """A step of training or evaluation on what `make` makes."""
    accelerator, model = subject.accelerator, subject.model
    if mode == "infer":
        turn = cast("Batches", _Turn(subject.total, make))
        return lambda: evaluate(accelerator, model, turn, subject.size, subject.batch)
    model.train()
    return lambda: train_step(
        accelerator,
        model,
        (make() for _ in range(1)),
        subject.optimizer,
        parts=1,
        total=subject.total,
        lr=0.0,
        loss_fn=lambda logits, targets: losses(logits, targets, 0.0, None),
    )


def _step_alone(subject: Subject, mode: str) -> Step:
    """A step on one batch that stays in memory."""
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if subject.channels_last else torch.contiguous_format
    images = torch.randn(subject.batch, 3, subject.size, subject.size, generator=generator)
    images = images.to(subject.accelerator.device, memory_format=layout)
    targets = torch.randint(subject.classes, (subject.batch,), generator=generator).to(images.device)
    return _step(subject, mode, lambda: (images, targets))


def _alone(subject: Subject, mode: str) -> dict[str, Any]:
    """The columns of a mode with the model alone."""
    device = subject.accelerator.device
    gauge.forget_peak(device)
    timing = timed(_step_alone(subject, mode), subject)
    total, rate = subject.total, subject.total / timing.median
    fast, slow = np.quantile(timing.seconds, [0.1, 0.9]).tolist()
    tflops = 2 * subject.gmacs * PASSES[mode] * rate / 1e3
    values = {
        "samples_per_sec": round(rate, 2),
        "step_time": round(1e3 * timing.median, 3),
        "batch_size": subject.batch,
        "img_size": subject.size,
        "samples_per_sec_p10": round(total / slow, 2),
        "samples_per_sec_p90": round(total / fast, 2),
        "step_time_p10": round(1e3 * fast, 3),
        "step_time_p90": round(1e3 * slow, 3),
        "steps": len(timing.seconds),
        "warmup_steps": timing.warm_up,
        "first_step_time": round(1e3 * timing.first, 3),
        "peak_memory_mb": round(gauge.peak_memory_mb(device)),
        "tflops": round(tflops, 4),
        "peak_share": round(tflops / subject.accelerator.num_processes / subject.peak, 4),
    }
    return {f"{mode}_{name}": value for name, value in values.items()}


# -------------------------------------------------------------------------------------- pixels


@dataclass
class _Pixels:
    """Makes the batches of one mode, one after another, and notes how long each took."""

    subject: Subject
    mode: str
    batches: Batches
    number: int = 0
    seconds: list[float] = field(default_factory=list)

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
        self.seconds.append(time.perf_counter() - started)
        return made


def _on_pixels(subject: Subject, mode: str) -> dict[str, Any]:
    """The columns of a mode with batches made of pixels: alone, and end to end."""
    facts = weights.data_config(subject.asked["model"])
    split = photographs.split(subject.asked["files"], subject.size, 4 * subject.total, subject.classes)
    way = Preprocessing(Normalise(facts["mean"], facts["std"]), facts["interpolation"], facts["crop_pct"])
    device = subject.accelerator.device
    pixels = _Pixels(subject, mode, Batches(split, way, subject.classes, device, channels_last=subject.channels_last))
    alone = timed(pixels.make, subject, brief=True)
    together = timed(_step(subject, mode, pixels.make), subject, brief=True)
    made = pixels.seconds[-len(together.seconds) :]
    share = float(np.median([own / whole for own, whole in zip(made, together.seconds, strict=True)]))
    values = {
        "data_samples_per_sec": round(subject.total / alone.median, 2),
        "end_to_end_samples_per_sec": round(subject.total / together.median, 2),
        "data_share": round(share, 4),
        # A batch is made where the model runs, so what takes longer is what a step waits for.
        "verdict": "data-bound" if share > 0.5 else "model-bound",
    }
    main = {name: values[name] for name in ("data_share", "verdict")} if mode == _main_mode(subject) else {}
    return {f"{mode}_{name}": value for name, value in values.items()} | main
