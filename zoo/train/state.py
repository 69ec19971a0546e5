"""What the train loop works with and how far it has come."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.data.batches import Batches
from zoo.data.splits import Splits
from zoo.models.build import BuiltModel
from zoo.recipe.recipe import Recipe
from zoo.system.console import Console
from zoo.train.autotune import Choice


@dataclass
class Training:
    """All that the loop works with; set up once.

    model: prepared by the accelerator; averaged: its weights' moving average (not prepared), or None.
    frozen: modules that stay in evaluation mode; micro_batches: parts of a step on each process.
    """

    recipe: Recipe
    accelerator: Accelerator
    model: nn.Module
    optimizer: Any
    train: Batches
    val: Batches | None
    test: Batches | None
    class_weights: Tensor | None = None
    averaged: Any = None
    frozen: list[nn.Module] = field(default_factory=list)
    micro_batches: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch: as many as batches of at most `batch_size` images need."""
        return -(-len(self.train) // self.recipe.train.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.recipe.train.epochs


@dataclass
class Setup:
    """What a run is made of, besides the loop's own `Task`."""

    recipe: Recipe
    task: Training
    data: Splits
    built: BuiltModel
    preprocessing: dict[str, Any]
    choice: Choice
    threads: int
    console: Console
    device_name: str
    probe_seconds: float = 0.0


@dataclass
class Progress:
    """How far a run has come: what a checkpoint keeps beside the tensors.

    best: (epoch, step, value) of the best evaluation so far; waited: evaluations since then.
    partial: sums over the steps of an epoch that was interrupted.
    """

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: tuple[int, int, float] | None = None
    waited: int = 0
    partial: dict[str, float] = field(default_factory=dict)


@dataclass
class EpochTotals:
    """Sums over an epoch's steps: seconds in all and in making batches, images; loss and hits before a resume."""

    seconds: float = 0.0
    data_seconds: float = 0.0
    images: float = 0
    loss: float = 0.0
    hits: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Time a step."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started

    def timed(self, items: Iterable[Any]) -> Iterator[Any]:
        """Time how long each item takes to come."""
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            item = next(iterator, None)
            self.data_seconds += time.perf_counter() - started
            if item is None:
                return
            yield item

    def with_sums(self, sums: Tensor) -> dict[str, float]:
        """All sums, with those of loss and hits from the device."""
        self.loss, self.hits = sums.tolist()
        return asdict(self)


def optimizer_of(task: Training) -> Optimizer:
    """torch's own optimizer, inside what the accelerator made of it."""
    return getattr(task.optimizer, "optimizer", task.optimizer)
