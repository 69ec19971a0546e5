"""A model as `zoo bench` measures it: prepared as for a run, at a precision, a layout and a batch size, and its steps.

The learning rate is 0: however many steps are timed, each does the same work as the one before it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import timm
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import GradientAccumulationPlugin, broadcast_object_list
from torch import Tensor, nn

from zoo.data.batches import Batches
from zoo.optim.build import build_optimizer
from zoo.optim.options import Optim
from zoo.system import launch
from zoo.system.device import synchronize
from zoo.train import autotune
from zoo.train.evaluate import evaluate
from zoo.train.step import losses, train_step

Step = Callable[[], Any]

# Batch sizes to choose from on a CPU; one whose step would take longer than this many seconds is not tried.
SIZES, TOO_LONG = (8, 16, 32, 64, 128), 1.5
# The largest batch that is tried on a GPU, and what larger ones than that are multiples of.
LARGEST, MULTIPLE = 4096, 8
# Images that precision and layout are chosen on where the batch size is still open.
OPEN = 16


@dataclass
class PreparedModel:
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


# ------------------------------------------------------------------------------------- prepare


def native_size(name: str) -> int:
    """The side of the images that a backbone was made for."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return config.input_size[-1] if config else 224


def prepare(asked: Mapping[str, Any], model: nn.Module, size: int, device: torch.device) -> PreparedModel:
    """Choose precision and layout where they are open, and prepare the model as a run does (`prepare.set_up`)."""
    training = "train" in asked["modes"]
    candidates = autotune.candidates(device, asked["precision"], asked["channels_last"])
    (precision, channels_last), why, started = candidates[0], "as asked", time.perf_counter()
    if len(candidates) > 1:
        model.train(training)
        with autotune.preserved_buffers(model):
            speeds = autotune.time_candidates(model, size, asked["batch_size"] or OPEN, device, candidates, backward=training)
        why = f"measured, images/s: {autotune.listed(speeds)}"
        # All processes do what the first one measured.
        precision, channels_last = broadcast_object_list([autotune.fastest(speeds)])[0]
    spent = time.perf_counter() - started
    model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    accelerator = Accelerator(
        cpu=launch.on_cpu(),
        mixed_precision={"fp32": "no"}.get(precision, precision),
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    optimizer = build_optimizer(Optim(name=asked["optimizer"]), model) if training else None
    prepared = accelerator.prepare_model(model)
    optimizer = accelerator.prepare_optimizer(optimizer) if optimizer else None
    if asked["compile"]:
        prepared = cast("nn.Module", torch.compile(prepared))
    return PreparedModel(asked, prepared, accelerator, optimizer, size, precision, channels_last, why, warm_up=spent)


def choose_batch(subject: PreparedModel) -> None:
    """Set the images of a step: as asked, the largest that fits into a GPU, or the fastest of a few on a CPU."""
    if subject.asked["batch_size"]:
        subject.batch = subject.asked["batch_size"]
        return
    with subject.warming():
        on_cpu = subject.accelerator.device.type == "cpu"
        subject.batch = _fastest_batch(subject) if on_cpu else _largest_batch(subject)


def _fastest_batch(subject: PreparedModel) -> int:
    speeds: dict[int, float] = {}
    for size in SIZES:
        subject.batch = size
        step = step_alone(subject, main_mode(subject))
        step()
        seconds = subject.agreed(min(seconds_of(step, subject), seconds_of(step, subject)))
        speeds[size] = size / seconds
        if 2 * seconds > TOO_LONG or speeds[size] < max(speeds.values()) / autotune.HOPELESS:
            break
    return autotune.fastest(speeds)


def _largest_batch(subject: PreparedModel) -> int:
    """By doubling, then bisection."""

    def fits(size: int) -> bool:
        subject.batch = size
        try:
            step = step_alone(subject, main_mode(subject))
            # End to end, the batch that is measured alone stays while others are made.
            _other = step_alone(subject, main_mode(subject))
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


def main_mode(subject: PreparedModel) -> str:
    """The mode that batch size, precision and layout are chosen for, and that the verdict is of."""
    return "train" if "train" in subject.asked["modes"] else "infer"


# --------------------------------------------------------------------------------------- steps


def seconds_of(step: Step, subject: PreparedModel) -> float:
    """How long a step takes."""
    started = time.perf_counter()
    step()
    synchronize(subject.accelerator.device)
    return time.perf_counter() - started


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


def step_on(subject: PreparedModel, mode: str, make: Callable[[], tuple[Tensor, Tensor]]) -> Step:
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


def step_alone(subject: PreparedModel, mode: str) -> Step:
    """A step on one batch that stays in memory."""
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if subject.channels_last else torch.contiguous_format
    images = torch.randn(subject.batch, 3, subject.size, subject.size, generator=generator)
    images = images.to(subject.accelerator.device, memory_format=layout)
    targets = torch.randint(subject.classes, (subject.batch,), generator=generator).to(images.device)
    return step_on(subject, mode, lambda: (images, targets))
