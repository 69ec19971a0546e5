"""Prepare a model as a training run does, with its precision, memory format and batch size, and make the steps to time.

The learning rate is 0, so that all steps do the same work.
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

# Batch sizes to choose from on a CPU, smallest first.
CPU_BATCHES = (8, 16, 32, 64, 128)
# Seconds of the longest step to try when choosing the batch size: otherwise choosing would take longer than measuring.
LONGEST_STEP = 1.5
# Largest batch size to try on a GPU: larger ones are no faster.
LARGEST_BATCH = 4096
# The bisection between a batch size that fits and one that does not tries multiples of this, which suit GPUs.
BATCH_MULTIPLE = 8
# Batch size for choosing precision and memory format on a CPU, if the batch size is not yet known.
TRIAL_BATCH = 16


@dataclass
class PreparedModel:
    """A model that is ready to be measured.

    Args:
        request: the request.
        model: the model, wrapped by Accelerate, and compiled if requested.
        accelerator: its processes, device and precision.
        optimizer: the optimizer, wrapped by Accelerate; None if training is not measured.
        size: side of the images in pixels.
        precision: the chosen precision.
        channels_last: the chosen memory format.
        why: how precision and memory format were chosen.
        gmacs: billions of multiply-adds per image.
        peak: TFLOP/s of the fastest matrix product.
        batch: images per step and process.
        timed: total seconds of the timed steps so far.
        warm_up: total seconds of the work before and between them so far.
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
        """Return the settings of the benchmark."""
        return self.request.settings

    @property
    def total(self) -> int:
        """Return the number of images of a step over all processes."""
        return self.batch * self.accelerator.num_processes

    def agreed(self, value: Any) -> Any:
        """Return the first process's value on all processes, so that all take the same number of steps."""
        return broadcast_object_list([value])[0] if self.accelerator.num_processes > 1 else value

    @contextlib.contextmanager
    def warming(self) -> Iterator[None]:
        """Count the seconds of the block as warm-up."""
        started = time.perf_counter()
        yield
        self.warm_up += time.perf_counter() - started


# ------------------------------------------------------------------------------------- prepare


def native_size(name: str) -> int:
    """Return the native image size of a backbone in pixels; 224 if timm has none."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return config.input_size[-1] if config else 224


def prepare(request: Request, model: nn.Module, size: int, device: torch.device) -> PreparedModel:
    """Choose precision and memory format if they are `auto`, and prepare the model as a training run does.

    Args:
        request: the request.
        model: the model on its device; its parameters and buffers keep their values.
        size: side of the images in pixels.
        device: device of the model.
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
        # All processes use the choice of the first one.
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
    """Return the batch size for choosing precision and memory format: small on a CPU, half of what fits into a GPU.

    With a small batch a GPU would mostly wait for its next kernel, and the candidate with the fewest kernels would win.
    """
    if device.type == "cpu":
        return TRIAL_BATCH
    with room_for_training(model, device, 1):
        return max(1, largest_batch(lambda images: fits(model, size, images, device, candidate, backward=training)) // 2)


def choose_batch(prepared: PreparedModel) -> None:
    """Set the batch size: as requested, else the largest that fits into a GPU, or the fastest of a few on a CPU.

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
    """Return the batch size with the most images/s; try larger ones until a step takes too long or is much slower."""
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
    """Return the largest batch size that fits into the GPU of every process.

    Sizes are tried on the unwrapped model: if one process ran out of memory in a step that adds up gradients, the others
    would wait for it.
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
    """Return about the largest batch size that fits, found by doubling and then by bisection.

    Args:
        fitting: returns whether a batch of this size fits.

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
    """Run a step; return its seconds, including the work of a GPU."""
    started = time.perf_counter()
    step()
    synchronize(prepared.accelerator.device)
    return time.perf_counter() - started


class OneBatch:
    """A single evaluation batch in the form that `evaluate` takes (`EvalBatches`); `make` makes it again for each call.

    Attributes:
        targets: int64 [N], all 0, since nothing is scored.
    """

    def __init__(self, count: int, make: Callable[[], tuple[Tensor, Tensor]]) -> None:
        self.make = make
        self.targets = torch.zeros(count, dtype=torch.int64)

    def __len__(self) -> int:
        """Return the number of images of a step over all processes."""
        return len(self.targets)

    def evaluation(self, positions: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """Return this process's images float32 [B, 3, S, S] and targets int64 [B]; ignore the positions."""
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
    # Draw on the device: a CPU would take seconds for thousands of images.
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randn(prepared.batch, 3, prepared.size, prepared.size, generator=generator, device=device)
    images = images.to(memory_format=memory_format(prepared.channels_last))
    targets = torch.randint(prepared.settings.classes, (prepared.batch,), generator=generator, device=device)
    return step_on(prepared, mode, lambda: (images, targets))
