"""The values that the train loop works with, and its progress: plain values, without the recipe."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.data.augment import Augment
from zoo.data.batches import Batches
from zoo.data.feature_batches import FeatureBatches
from zoo.data.rng import epoch_order
from zoo.data.sampling import sampled_order
from zoo.metrics import merit
from zoo.optim.losses import CrossEntropy, Loss
from zoo.training.averaging import WeightAverage
from zoo.training.budget import Budget, StepPlan
from zoo.training.distillation import Distillation
from zoo.training.stages import Stages
from zoo.training.watch import StepWatch

# By the value of `data.sampler`: a class's share of an epoch is proportional to its number of images to this power.
SAMPLERS = {"balanced": 0.0, "sqrt": 0.5}


@dataclass(frozen=True)
class ValPredictions:
    """The predictions of val at an evaluation.

    Attributes:
        step: steps taken by then.
        logits: float32 [N, C], on the CPU.
        targets: int64 [N].
        seconds: time of the evaluation.
    """

    step: int
    logits: Tensor
    targets: Tensor
    seconds: float


@dataclass
class Training:
    """Everything that the loop works with; set up once.

    Attributes:
        accelerator: the processes and the precision.
        model: prepared by the accelerator.
        bare_model: the same model without the accelerator's wrapper.
        optimizer: prepared by the accelerator.
        watch: checks each step's loss and gradient, and looks for signals.
        train: the training images.
        val: the validation images, None if there are none.
        test: the test images, None if there are none.
        plan: the steps of the run.
        batch_size: images of a step, over all processes.
        seed: of the order of the images, the augmentation and dropout.
        lr_at: the learning rate of a step, counted from 0.
        size_at: the side in pixels of a step's images.
        eval_size: the side in pixels at evaluation.
        augment: augmentation of the training images.
        label_smoothing: share of the target spread over all classes.
        class_weights: float32 [C], None for equal weights.
        loss: loss of the training images; evaluation always uses cross-entropy.
        clip_grad: largest norm of the gradient, None for no limit.
        eval_every: epochs between two evaluations.
        test_every_epoch: whether test is scored at each evaluation; it never selects the epoch.
        tta: the views of an image that each evaluation averages, as `eval.tta`.
        select_by: the value that chooses the epoch, such as `val.accuracy`, or `last`.
        patience: number of evaluations without improvement after which to stop, None for never.
        averaged: the moving average of the weights, not prepared, or None.
        distillation: how the model learns from a teacher, or None.
        frozen: modules that stay in evaluation mode.
        sampler: which images an epoch shows, as `data.sampler`.
        micro_batches: parts of a step on each process.
        budget: the time that the run may take, None for no limit.
        ahead: steps that a thread gathers batches ahead; 0 on a CPU, whose cores are busy with training.
        head: the last layer, if only it trains, on features; then `model` is this layer, prepared, and batches have features
            instead of images. None if the whole model runs.
        stages: the stages of the run, None if the same parameters train throughout.
        latest, best: predictions of val at the latest and at the best evaluation; None if they are not kept.
    """

    accelerator: Accelerator
    model: nn.Module
    bare_model: nn.Module
    optimizer: Any
    watch: StepWatch
    train: Batches | FeatureBatches
    val: Batches | FeatureBatches | None
    test: Batches | FeatureBatches | None
    plan: StepPlan
    batch_size: int
    seed: int
    lr_at: Callable[[int], float]
    size_at: Callable[[int], int]
    eval_size: int
    augment: Augment
    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    loss: Loss = field(default_factory=CrossEntropy)
    clip_grad: float | None = None
    eval_every: int = 1
    test_every_epoch: bool = False
    tta: str = "none"
    select_by: str = "last"
    patience: int | None = None
    averaged: WeightAverage | None = None
    distillation: Distillation | None = None
    frozen: list[nn.Module] = field(default_factory=list)
    sampler: str = "shuffled"
    micro_batches: int = 1
    budget: Budget | None = None
    ahead: int = 0
    head: nn.Module | None = None
    stages: Stages | None = None
    latest: ValPredictions | None = None
    best: ValPredictions | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, in batches of at most `batch_size` images."""
        return steps_of(len(self.train), self.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.plan.steps

    @property
    def epochs(self) -> int:
        """Passes over the training images; in a run with a given time, the last one may be cut short."""
        return -(-self.steps // self.steps_per_epoch)

    @property
    def learner(self) -> nn.Module:
        """Everything that is trained: the bare model, together with its projection to a teacher's features if there is one."""
        return (self.distillation and self.distillation.projected) or self.bare_model

    @property
    def eval_model(self) -> nn.Module:
        """The model that is evaluated: the averaged weights if there are any; with cached features, the head alone."""
        if self.averaged is None:
            return self.model
        return self.averaged.module if self.head is None else self.averaged.module.get_classifier()  # type: ignore[operator]

    @property
    def eval_batch_size(self) -> int:
        """Images of an evaluation batch on one process: no more than a training step holds."""
        return eval_batch_size(self.batch_size, self.accelerator.num_processes, self.micro_batches)

    @property
    def plain_optimizer(self) -> Optimizer:
        """torch's own optimizer, without the accelerator's wrapper."""
        return getattr(self.optimizer, "optimizer", self.optimizer)


def eval_batch_size(batch_size: int, processes: int, micro_batches: int) -> int:
    """Return the images of an evaluation batch on one process, for a step of `batch_size` images over all processes."""
    return max(1, batch_size // (processes * micro_batches))


def steps_of(images: int, batch_size: int) -> int:
    """Return the number of steps of an epoch, in batches of at most `batch_size` images."""
    return -(-images // batch_size)


def epoch_batches(seed: int, epoch: int, train: Batches | FeatureBatches, batch_size: int, sampler: str) -> list[np.ndarray]:
    """Return the images of each step of an epoch, positions int64 [G] in the training split.

    Args:
        seed: of the run.
        epoch: counted from 0.
        train: the training images.
        batch_size: images of a step.
        sampler: the value of `data.sampler`.
    """
    if sampler == "shuffled":
        order = epoch_order(seed, epoch, len(train))
    else:
        order = sampled_order(seed, epoch, train.split.targets, power=SAMPLERS[sampler])
    return np.array_split(order, steps_of(len(train), batch_size))


@dataclass
class Progress:
    """The progress of a run: the plain values that a checkpoint keeps beside the tensors.

    Attributes:
        step: steps taken.
        history: a row for each epoch, as in `metrics.jsonl`.
        best: (epoch, step, value) of the best evaluation so far.
        waited: evaluations since the best one.
        partial: sums over the steps of the current epoch.
    """

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: tuple[int, int, float] | None = None
    waited: int = 0
    partial: dict[str, float] = field(default_factory=dict)

    def ranked(self, key: str) -> list[dict[str, Any]]:
        """Return the rows that were evaluated, best first by a metric such as `val.accuracy`; ties keep their order."""
        rows = [row for row in self.history if row.get(key) is not None and not math.isnan(row[key])]
        return sorted(rows, key=lambda row: merit(key, row[key]), reverse=True)


@dataclass
class EpochTotals:
    """Sums over an epoch's steps.

    Attributes:
        seconds: total time.
        data_seconds: the part of it that making batches took.
        images: images seen, over all processes.
        loss: sum of this process's losses, up to the last resume or `with_sums`.
        hits: this process's right predictions, likewise.
        skipped: steps that fp16's scaler skipped.
    """

    seconds: float = 0.0
    data_seconds: float = 0.0
    images: float = 0
    loss: float = 0.0
    hits: float = 0.0
    skipped: float = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Time the step in the block."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started

    def timed(self, items: Iterable[Any]) -> Generator[Any]:
        """Yield items, and time how long each takes to come."""
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            item = next(iterator, None)
            self.data_seconds += time.perf_counter() - started
            if item is None:
                return
            yield item

    def with_sums(self, sums: Tensor) -> dict[str, float]:
        """Return all sums, with loss and hits taken from `sums`, float64 [2], on the device."""
        self.loss, self.hits = sums.tolist()
        return asdict(self)
