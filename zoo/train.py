"""The one loop: `fit` trains, `step.train_step` takes a step, `evaluate` scores. Nothing else here or elsewhere trains.

What happens in a step is a function of the recipe and the step's number: its images, their augmentation, its
learning rate, its dropout. So a run can stop after any step and go on from there.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from zoo.data.batches import Batches
from zoo.data.rng import epoch_order, torch_seed
from zoo.errors import NonFiniteLoss, ZooError
from zoo.metrics import METRICS, merit
from zoo.recipe.recipe import Recipe
from zoo.step import losses, train_step
from zoo.system import signals

Metric = Callable[[Tensor, Tensor], float]


@dataclass
class Task:
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


def fit(
    task: Task,
    progress: Progress,
    *,
    on_epoch: Callable[[Progress, bool], None],
    on_step: Callable[[Progress, Callable[[], dict[str, float]]], None],
) -> None:
    """Train from where `progress` is to the end, or until patience ends.

    Args:
        task: what to train.
        progress: changed in place.
        on_epoch: called after each epoch, with whether it is the best so far.
        on_step: called after each step, and where an evaluation was interrupted, with what gives the sums over the
            epoch's steps.

    Raises:
        NonFiniteLoss: before the update that it would have spoiled the weights with.
        Interrupted: an evaluation was, and `on_step` came back.
    """
    settings, per_epoch = task.recipe.train, task.steps_per_epoch
    # An epoch is over when it has its row: one that was stopped in its evaluation has taken all of its steps.
    for epoch in range(len(progress.history), settings.epochs):
        if impatient(task, progress):
            break
        batches = np.array_split(epoch_order(settings.seed, epoch, len(task.train)), per_epoch)
        clock = Clock(**progress.partial)
        sums = torch.tensor([clock.loss, clock.hits], dtype=torch.float64, device=task.accelerator.device)
        for positions in progress_bar(batches[progress.step - epoch * per_epoch :], task, epoch):
            with clock.running():
                sums += one_step(task, positions, progress.step, clock)
            progress.step += 1
            clock.images += len(positions)
            on_step(progress, partial(clock.with_sums, sums))
        try:
            row = epoch_row(task, epoch, progress.step, clock.with_sums(sums))
        except Interrupted:
            on_step(progress, partial(clock.with_sums, sums))
            raise
        progress.partial = {}
        best = judge(task, progress, row)
        progress.history.append(row)
        on_epoch(progress, best)


def impatient(task: Task, progress: Progress) -> bool:
    """Whether too many evaluations were no better than an earlier one."""
    patience = task.recipe.train.patience
    return patience is not None and progress.waited >= patience


def over(task: Task, progress: Progress) -> bool:
    """Whether no step is left to take."""
    return progress.step >= task.steps or impatient(task, progress)


@dataclass
class Clock:
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


def one_step(task: Task, positions: np.ndarray, step: int, clock: Clock) -> Tensor:
    """Make one global batch and learn from it; returns this process's sums of losses and hits, float64 [2]."""
    recipe, accelerator = task.recipe, task.accelerator
    size = recipe.image_size.at(step, task.steps)
    parts = shares(len(positions), accelerator.num_processes, accelerator.process_index, task.micro_batches)
    seed = recipe.train.seed
    batches = (task.train.training(positions, part, size, recipe.augment, seed, step) for part in parts)
    # Not numpy's or torch's global state as the last step left it: dropout is a function of the step as well.
    torch.manual_seed(torch_seed(seed, step, accelerator.process_index))
    set_train_mode(task)
    try:
        sums = train_step(
            accelerator,
            task.model,
            clock.timed(batches),
            task.optimizer,
            parts=len(parts),
            total=len(positions),
            lr=recipe.optim.lr * recipe.schedule.lr_at(step, task.steps, task.steps_per_epoch),
            loss_fn=lambda logits, targets: losses(logits, targets, recipe.train.label_smoothing, task.class_weights),
            clip=recipe.train.clip_grad,
        )
    except NonFiniteLoss:
        what = f"the loss or its gradient is not finite, in epoch {step // task.steps_per_epoch + 1}"
        raise NonFiniteLoss(f"step {step + 1}", what, "lower optim.lr, warm up longer, or set train.clip_grad") from None
    if task.averaged is not None:
        task.averaged.update(accelerator.unwrap_model(task.model, keep_fp32_wrapper=True), step=step)
    return sums


def shares(total: int, processes: int, rank: int, micro_batches: int) -> list[slice]:
    """The parts of a global batch that one process takes, in micro-batches that differ by one image at most."""
    edges = [total * part // (processes * micro_batches) for part in range(processes * micro_batches + 1)]
    mine = range(rank * micro_batches, (rank + 1) * micro_batches)
    return [slice(edges[part], edges[part + 1]) for part in mine]


def set_train_mode(task: Task) -> None:
    """Training mode, but for frozen BatchNorm: its statistics stay as they are."""
    task.model.train()
    for module in task.frozen:
        module.eval()


class Interrupted(Exception):
    """An evaluation ended early, because a signal asks the run to stop."""


def stopping(accelerator: Accelerator) -> bool:
    """Whether a signal asked any of the processes to stop: all of them do so after the same step."""
    asked = bool(signals.requested())
    if accelerator.num_processes == 1:
        return asked
    return bool(accelerator.reduce(torch.tensor(float(asked), device=accelerator.device), "sum"))


@torch.inference_mode()
def evaluate(accelerator: Accelerator, model: nn.Module, batches: Batches, size: int, batch_size: int) -> tuple[Tensor, Tensor]:
    """Run a model over all images of a split, each process over its share.

    Returns:
        Outputs float32 [N, C] and targets int64 [N] of the whole split in its own order, on the CPU, on every process.

    Raises:
        Interrupted: a signal asks the run to stop.
    """
    model.eval()
    count, processes = len(batches), accelerator.num_processes
    share = -(-count // processes)
    mine = np.arange(share) + accelerator.process_index * share
    outputs = []
    for positions in np.array_split(np.minimum(mine, count - 1), -(-share // batch_size)):
        if stopping(accelerator):
            raise Interrupted
        images, _ = batches.evaluation(positions, size)
        with accelerator.autocast():
            outputs.append(model(images).float())
    # Equal shares on every process: the last one's end is padding, and cut off.
    whole = accelerator.gather(torch.cat(outputs))[:count].cpu()
    if len(whole) != count:
        raise ZooError("evaluation", f"{len(whole)} images of {count} were scored", "report this")
    return whole, torch.from_numpy(batches.split.targets)


def score(task: Task, batches: Batches) -> dict[str, float]:
    """Every metric of a split, with the averaged weights where there are some."""
    logits, targets = evaluate(task.accelerator, evaluated(task), batches, task.recipe.image_size.end, evaluation_batch(task))
    return {name: metric(logits, targets) for name, metric in METRICS.items()}


def evaluated(task: Task) -> nn.Module:
    """The model that is evaluated and saved."""
    return task.averaged.module if task.averaged is not None else task.model


def evaluation_batch(task: Task) -> int:
    """Images of an evaluation batch on one process: no more than a training step holds."""
    return max(1, task.recipe.train.batch_size // (task.accelerator.num_processes * task.micro_batches))


def epoch_row(task: Task, epoch: int, step: int, sums: Mapping[str, float]) -> dict[str, Any]:
    """A line of `metrics.jsonl`; evaluates where it is due."""
    accelerator, recipe = task.accelerator, task.recipe
    loss, hits = summed(accelerator, [sums["loss"], sums["hits"]])
    images = sums["images"]
    row: dict[str, Any] = {
        "epoch": epoch + 1,
        "step": step,
        "lr": recipe.optim.lr * recipe.schedule.lr_at(step - 1, task.steps, task.steps_per_epoch),
        "train.loss": loss / images,
        "train.accuracy": hits / images,
        "images_per_second": images / sums["seconds"],
        "data_share": sums["data_seconds"] / sums["seconds"],
        "seconds": sums["seconds"],
    }
    due = (epoch + 1) % recipe.eval.every_epochs == 0 or epoch + 1 == recipe.train.epochs
    if due:
        average_statistics(task)
        for split, batches in (("val", task.val), ("test", task.test if recipe.eval.test_every_epoch else None)):
            if batches is not None:
                row |= {f"{split}.{name}": value for name, value in score(task, batches).items()}
    return row


def summed(accelerator: Accelerator, values: list[float]) -> list[float]:
    """Add up plain numbers over the processes."""
    mine = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    return cast("Tensor", accelerator.reduce(mine, "sum")).tolist()


@torch.no_grad()
def average_statistics(task: Task) -> None:
    """Make BatchNorm's running statistics the same on all processes: each has seen its own images only."""
    if task.accelerator.num_processes > 1:
        for buffer in statistics(task):
            buffer.copy_(cast("Tensor", task.accelerator.reduce(buffer, "mean")))


def statistics(task: Task) -> list[Tensor]:
    """Float buffers, which may differ between processes: BatchNorm's running statistics, of the model and of its average."""
    models = [task.model, *([task.averaged.module] if task.averaged is not None else [])]
    return [buffer for model in models for buffer in model.buffers() if buffer.is_floating_point()]


def judge(task: Task, progress: Progress, row: Mapping[str, Any]) -> bool:
    """Whether an epoch is the best so far; a value that is not a number never is."""
    value = row.get(task.recipe.eval.select_by)
    if value is None:
        return False
    key = task.recipe.eval.select_by
    known = -math.inf if progress.best is None else merit(key, progress.best[2])
    if merit(key, value) > known:
        progress.best, progress.waited = (row["epoch"], row["step"], value), 0
        return True
    progress.waited += 1
    return False


def progress_bar(batches: list[np.ndarray], task: Task, epoch: int) -> Iterator[np.ndarray]:
    """Batches, with a bar on a terminal: images per second and time left."""
    shown = task.accelerator.is_main_process and sys.stderr.isatty()
    title = f"epoch {epoch + 1}/{task.recipe.train.epochs}"
    total = sum(len(positions) for positions in batches)
    with tqdm(total=total, desc=title, unit=" images", leave=False, disable=not shown) as bar:
        for positions in batches:
            yield positions
            bar.update(len(positions))


def optimizer_of(task: Task) -> Optimizer:
    """torch's own optimizer, inside what the accelerator made of it."""
    return getattr(task.optimizer, "optimizer", task.optimizer)
