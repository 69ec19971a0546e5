"""The one loop: `fit` trains, `step.train_step` takes a step, `evaluate` scores. Nothing else here or elsewhere trains.

What happens in a step is a function of the recipe and the step's number: its images, their augmentation, its
learning rate, its dropout. So a run can stop after any step and go on from there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zoo.data.rng import epoch_order, torch_seed
from zoo.errors import NonFiniteLoss
from zoo.metrics import merit
from zoo.train.evaluate import Interrupted, average_statistics, score, summed
from zoo.train.state import EpochTotals, Progress, Training
from zoo.train.step import losses, train_step


def fit(
    task: Training,
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
        if out_of_patience(task, progress):
            break
        batches = np.array_split(epoch_order(settings.seed, epoch, len(task.train)), per_epoch)
        clock = EpochTotals(**progress.partial)
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
        best = update_best(task, progress, row)
        progress.history.append(row)
        on_epoch(progress, best)


def out_of_patience(task: Training, progress: Progress) -> bool:
    """Whether too many evaluations were no better than an earlier one."""
    patience = task.recipe.train.patience
    return patience is not None and progress.waited >= patience


def is_finished(task: Training, progress: Progress) -> bool:
    """Whether no step is left to take."""
    return progress.step >= task.steps or out_of_patience(task, progress)


def one_step(task: Training, positions: np.ndarray, step: int, clock: EpochTotals) -> Tensor:
    """Make one global batch and learn from it; returns this process's sums of losses and hits, float64 [2]."""
    recipe, accelerator = task.recipe, task.accelerator
    size = recipe.image_size.at(step, task.steps)
    parts = micro_batch_slices(len(positions), accelerator.num_processes, accelerator.process_index, task.micro_batches)
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


def micro_batch_slices(total: int, processes: int, rank: int, micro_batches: int) -> list[slice]:
    """The parts of a global batch that one process takes, in micro-batches that differ by one image at most."""
    edges = [total * part // (processes * micro_batches) for part in range(processes * micro_batches + 1)]
    mine = range(rank * micro_batches, (rank + 1) * micro_batches)
    return [slice(edges[part], edges[part + 1]) for part in mine]


def set_train_mode(task: Training) -> None:
    """Training mode, but for frozen BatchNorm: its statistics stay as they are."""
    task.model.train()
    for module in task.frozen:
        module.eval()


def epoch_row(task: Training, epoch: int, step: int, sums: Mapping[str, float]) -> dict[str, Any]:
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


def update_best(task: Training, progress: Progress, row: Mapping[str, Any]) -> bool:
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


def progress_bar(batches: list[np.ndarray], task: Training, epoch: int) -> Iterator[np.ndarray]:
    """Batches, with a bar on a terminal: images per second and time left."""
    shown = task.accelerator.is_main_process and sys.stderr.isatty()
    title = f"epoch {epoch + 1}/{task.recipe.train.epochs}"
    total = sum(len(positions) for positions in batches)
    with tqdm(total=total, desc=title, unit=" images", leave=False, disable=not shown) as bar:
        for positions in batches:
            yield positions
            bar.update(len(positions))
