"""Prepare a model as a training run does, at a precision, a layout and a batch size, and make the steps that are timed.

The learning rate is 0: each step does the same work as the one before it, however many are timed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import timm
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from zoo.bench.settings import INFER, TRAIN, Request, Settings
from zoo.optim.build import build_optimizer
from zoo.optim.options import Optim
from zoo.system.device import memory_format, synchronize
from zoo.training import autotune
from zoo.training.accelerator import make_accelerator
from zoo.training.evaluate import evaluate
from zoo.training.step import losses, train_step
from zoo.training.trial import Candidate, fits, preserved_buffers, room_for_training
from zoo.training.watch import StepWatch

Step = Callable[[], Any]

# Images of a batch to choose from on a CPU, smallest first.
CPU_BATCHES = (8, 16, 32, 64, 128)
# Seconds: a batch whose step would take longer is not tried, or choosing would take longer than measuring.
LONGEST_STEP = 1.5
# Images of the largest batch that is tried on a GPU: larger ones are no faster.
LARGEST_BATCH = 4096
# The bisection between a batch that fits and one that does not ends at multiples of this, which GPUs like.
BATCH_MULTIPLE = 8
# Images that precision and layout are chosen on where the batch size is not yet chosen.
TRIAL_BATCH = 16


@dataclass
class PreparedModel:
    """A model that is ready to be measured.

    Args:
        request: what was asked for.
        model: the model, wrapped by Accelerate and compiled where asked.
        accelerator: its processes, device and precision.
        optimizer: the optimizer, wrapped by Accelerate; None where training is not measured.
        size: side of the images in pixels.
        precision: as chosen.
        channels_last: the memory layout, as chosen.
        why: how precision and layout were chosen.
        gmacs: billions of multiply-adds of an image.
        peak: TFLOP/s of the fastest matrix product.
        batch: images of a step on one process.
        timed: seconds of the steps that count, so far.
        warm_up: seconds of everything before and between them, so far.
    """

    request: Request
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

    @property
    def settings(self) -> Settings:
        """Return how the model is measured."""
        return self.request.settings

    @property
    def total(self) -> int:
        """Return the images of a step over all processes."""
        return self.batch * self.accelerator.num_processes

    def agreed(self, value: Any) -> Any:
        """Return the first process's value on all of them, so that all take the same number of steps."""
        return broadcast_object_list([value])[0] if self.accelerator.num_processes > 1 else value

    @contextlib.contextmanager
    def warming(self) -> Iterator[None]:
        """Count the seconds of the block as warm-up."""
        started = time.perf_counter()
        yield
        self.warm_up += time.perf_counter() - started


# ------------------------------------------------------------------------------------- prepare


def native_size(name: str) -> int:
    """Return the side in pixels of the images that a backbone was made for."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return config.input_size[-1] if config else 224


def prepare(request: Request, model: nn.Module, size: int, device: torch.device) -> PreparedModel:
    """Choose precision and layout where they are `auto`, and prepare the model as a training run does.

    Args:
        request: what was asked for.
        model: on its device; its parameters and buffers keep their values.
        size: side of the images in pixels.
        device: where the model is.
    """
    settings = request.settings
    training = TRAIN in settings.modes
    candidates = autotune.candidates(device, settings.precision, settings.channels_last)
    (precision, channels_last), why, started = candidates[0], "as asked", time.perf_counter()
    if len(candidates) > 1:
        model.train(training)
        with preserved_buffers(model):
            trial = settings.batch_size or _trial_batch(model, size, device, candidates[0], training=training)
            speeds = autotune.time_candidates(model, size, trial, device, candidates, backward=training)
        why = f"measured, images/s: {autotune.listed(speeds)}"
        # All processes take what the first one measured.
        precision, channels_last = broadcast_object_list([autotune.fastest(speeds)])[0]
    spent = time.perf_counter() - started
    model.to(memory_format=memory_format(channels_last))
    accelerator = make_accelerator(precision)
    optimizer = build_optimizer(Optim(name=settings.optimizer), model) if training else None
    wrapped = accelerator.prepare_model(model)
    optimizer = accelerator.prepare_optimizer(optimizer) if optimizer else None
    if settings.compile:
        wrapped = cast("nn.Module", torch.compile(wrapped))
    return PreparedModel(request, wrapped, accelerator, optimizer, size, precision, channels_last, why, warm_up=spent)


def _trial_batch(model: nn.Module, size: int, device: torch.device, candidate: Candidate, *, training: bool) -> int:
    """Return the images that precision and layout are chosen on: a few on a CPU, half of what fits into a GPU.

    A few would keep a GPU waiting for its next kernel, and the candidate with the fewest kernels would win.
    """
    if device.type == "cpu":
        return TRIAL_BATCH
    with room_for_training(model, device, 1):
        return max(1, largest_batch(lambda images: fits(model, size, images, device, candidate, backward=training)) // 2)


def choose_batch(prepared: PreparedModel) -> None:
    """Set the images of a step: the number asked for, the most that fit into a GPU, or the fastest of a few on a CPU.

    Raises:
        torch.OutOfMemoryError: not even one image fits into a GPU.
    """
    if prepared.settings.batch_size:
        prepared.batch = prepared.settings.batch_size
        return
    with prepared.warming():
        on_cpu = prepared.accelerator.device.type == "cpu"
        prepared.batch = _fastest_batch(prepared) if on_cpu else _largest_batch(prepared)


def _fastest_batch(prepared: PreparedModel) -> int:
    """Return the batch with the most images/s; larger ones are tried until they are slow or hopeless."""
    speeds: dict[int, float] = {}
    for size in CPU_BATCHES:
        prepared.batch = size
        step = step_alone(prepared, prepared.settings.main_mode)
        step()
        seconds = prepared.agreed(min(seconds_of(step, prepared), seconds_of(step, prepared)))
        speeds[size] = size / seconds
        if 2 * seconds > LONGEST_STEP or speeds[size] < max(speeds.values()) / autotune.HOPELESS:
            break
    return autotune.fastest(speeds)


def _largest_batch(prepared: PreparedModel) -> int:
    """Return the largest batch that fits into the GPU of every process.

    It is tried on the bare model: where memory runs out in the middle of a step that adds up gradients, the processes would
    wait for each other.
    """
    accelerator = prepared.accelerator
    training = prepared.optimizer is not None
    bare = accelerator.unwrap_model(prepared.model, keep_torch_compile=False)
    bare.train(prepared.settings.main_mode == TRAIN)
    candidate = (prepared.precision, prepared.channels_last)

    def fit_everywhere(images: int) -> bool:
        fine = fits(bare, prepared.size, images, accelerator.device, candidate, backward=training)
        misses = torch.tensor([float(not fine)], device=accelerator.device)
        return not cast("Tensor", accelerator.reduce(misses, "sum")).item()

    with preserved_buffers(bare), room_for_training(bare, accelerator.device, accelerator.num_processes):
        return largest_batch(fit_everywhere)


def largest_batch(fitting: Callable[[int], bool]) -> int:
    """Return the largest batch that fits, found by doubling, then by bisection.

    Args:
        fitting: returns whether so many images fit.

    Raises:
        torch.OutOfMemoryError: not even one image fits.
    """
    most = 0
    while most < LARGEST_BATCH and fitting(2 * most or 1):
        most = 2 * most or 1
    if not most:
        raise torch.OutOfMemoryError("not even one image fits into memory")
    failing = 2 * most
    while most < LARGEST_BATCH and failing - most > max(BATCH_MULTIPLE, most // 16):
        middle = (most + failing) // 2 // BATCH_MULTIPLE * BATCH_MULTIPLE
        most, failing = (middle, failing) if fitting(middle) else (most, middle)
    return most


# --------------------------------------------------------------------------------------- steps


def seconds_of(step: Step, prepared: PreparedModel) -> float:
    """Take a step; return its seconds, the work of a GPU included."""
    started = time.perf_counter()
    step()
    synchronize(prepared.accelerator.device)
    return time.perf_counter() - started


class OneBatch:
    """A single evaluation batch, which `make` makes anew each time, as `evaluate` takes them (`EvalBatches`).

    Attributes:
        targets: int64 [N], all 0: nothing is scored.
    """

    def __init__(self, count: int, make: Callable[[], tuple[Tensor, Tensor]]) -> None:
        self.make = make
        self.targets = torch.zeros(count, dtype=torch.int64)

    def __len__(self) -> int:
        """Return the images of a step over all processes."""
        return len(self.targets)

    def evaluation(self, positions: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """Return this process's images float32 [B, 3, S, S] and targets int64 [B]; the positions do not matter."""
        return self.make()


def step_on(prepared: PreparedModel, mode: str, make: Callable[[], tuple[Tensor, Tensor]]) -> Step:
    """Return a step of training or evaluation on the images and targets that `make` returns."""
    accelerator, model = prepared.accelerator, prepared.model
    if mode == INFER:
        batches = OneBatch(prepared.total, make)
        return lambda: evaluate(accelerator, model, batches, prepared.size, prepared.batch)
    model.train()
    watch = StepWatch(accelerator, prepared.optimizer)
    return lambda: train_step(
        model,
        (make() for _ in range(1)),
        prepared.optimizer,
        parts=1,
        total=prepared.total,
        lr=0.0,
        loss_fn=lambda logits, targets: losses(logits, targets, 0.0, None),
        watch=watch,
    )


def step_alone(prepared: PreparedModel, mode: str) -> Step:
    """Return a step on one batch that stays in memory: images float32 [B, 3, S, S]."""
    device = prepared.accelerator.device
    # On the device: a CPU would take seconds for thousands of images.
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randn(prepared.batch, 3, prepared.size, prepared.size, generator=generator, device=device)
    images = images.to(memory_format=memory_format(prepared.channels_last))
    targets = torch.randint(prepared.settings.classes, (prepared.batch,), generator=generator, device=device)
    return step_on(prepared, mode, lambda: (images, targets))
