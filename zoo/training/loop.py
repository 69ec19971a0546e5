"""The only training loop: `fit` trains, `step.train_step` takes a step, `evaluate` scores. No other code trains.

Everything in a step is a function of the seed and the step's number: its images, their augmentation, its learning rate, its
dropout. So a run can stop after any step and resume from there.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.batches import Gathered
from zoo.data.rng import torch_seed
from zoo.errors import NonFiniteLoss, ZooError
from zoo.metrics import METRICS, merit
from zoo.models.layers import batch_norms
from zoo.system.console import Console
from zoo.system.device import seed_device
from zoo.system.progress import show_progress
from zoo.training.evaluate import Interrupted, average_statistics, score, sum_over_processes
from zoo.training.feeder import feed
from zoo.training.final_scores import score_val
from zoo.training.state import EpochTotals, Progress, Training, epoch_batches
from zoo.training.step import NoRoomForStep, losses, train_step
from zoo.training.trial import free
from zoo.training.watch import NonFiniteStep


def fit(
    training: Training,
    progress: Progress,
    *,
    on_epoch: Callable[[Progress, bool], None],
    on_step: Callable[[Progress, Callable[[], dict[str, float]]], None],
    until_epoch: int | None = None,
) -> None:
    """Train from `progress` to the end of the run, until patience ends, or to the end of an epoch.

    Args:
        training: what to train.
        progress: changed in place.
        on_epoch: called after each epoch, with whether it is the best so far.
        on_step: called after each step, and when an evaluation is interrupted, with a function that returns the sums
            over the epoch's steps.
        until_epoch: the epoch after which to return, None for the last one.

    Raises:
        NonFiniteLoss: the loss or gradient is not finite; the update that would have spoiled the weights is not made.
        Interrupted: an evaluation was interrupted, and `on_step` returned.
    """
    # An epoch is complete when it has its row: one interrupted in its evaluation has taken all of its steps.
    # With a given time, the number of epochs changes during the run.
    while len(progress.history) < min(training.epochs, until_epoch or training.epochs):
        if out_of_patience(training, progress):
            break
        epoch = len(progress.history)
        sums = train_epoch(training, progress, epoch, on_step)
        trained = time.perf_counter()
        if training.budget is not None:
            training.budget.closed = progress.step >= training.steps
        try:
            row = epoch_row(training, epoch, progress.step, sums())
        except Interrupted:
            # All processes are interrupted, whichever of them got the signal.
            training.watch.stopping = True
            on_step(progress, sums)
            raise
        evaluated = time.perf_counter()
        if training.budget is not None:
            training.budget.after_evaluation(images_of_row(training, row), evaluated - trained)
        progress.partial = {}
        best = update_best(training, progress, row)
        progress.history.append(row)
        on_epoch(progress, best)
        if training.budget is not None:
            training.budget.after_epoch(progress.step, time.perf_counter() - evaluated)


def train_epoch(
    training: Training,
    progress: Progress,
    epoch: int,
    on_step: Callable[[Progress, Callable[[], dict[str, float]]], None],
) -> Callable[[], dict[str, float]]:
    """Take the remaining steps of an epoch; return a function that returns the sums over all steps of the epoch.

    Raises:
        NonFiniteLoss: as `fit` does.
    """
    batches = epoch_batches(training.seed, epoch, training.train, training.batch_size, training.sampler)
    totals = EpochTotals(**progress.partial)
    sums = torch.tensor([totals.loss, totals.hits], dtype=torch.float64, device=training.accelerator.device)
    remaining = batches[progress.step - epoch * training.steps_per_epoch :]
    numbered = list(enumerate(remaining, start=progress.step))
    gathered = totals.timed(feed(lambda item: gather(training, item[1], item[0]), numbered, training.ahead))
    set_train_mode(training)
    with epoch_progress(training, progress.step, epoch, remaining) as count_images, contextlib.closing(gathered):
        for positions in remaining:
            if progress.step >= training.steps:
                break
            if training.stages is not None:
                use_stage(training, training.stages.at(progress.step))
            before = totals.seconds
            with totals.running():
                sums += one_step_that_fits(training, positions, progress.step, totals, next(gathered))
            totals.skipped += training.watch.take_skipped()
            progress.step += 1
            totals.images += len(positions)
            count_images(len(positions))
            if training.budget is not None:
                training.budget.after_step(progress.step, totals.seconds - before, training.size_at(progress.step - 1))
            on_step(progress, partial(totals.with_sums, sums))
    settle(training)
    return partial(totals.with_sums, sums)


def epoch_progress(
    training: Training, step: int, epoch: int, remaining: list[np.ndarray]
) -> AbstractContextManager[Callable[[int], None]]:
    """Show the progress of an epoch after `step` steps; `remaining` has the positions of the batches that are left."""
    done = len(training.train) - sum(len(positions) for positions in remaining)
    images_after = list(itertools.accumulate(map(len, remaining), initial=done))

    def total() -> int:
        """Return the number of images of the epoch; with a given time, the plan may cut it short, and may change."""
        return images_after[min(training.steps - step, len(remaining))]

    title = f"epoch {epoch + 1}" if training.budget is not None else f"epoch {epoch + 1}/{training.epochs}"
    return show_progress(title, total, done=done, shown=training.accelerator.is_main_process)


def out_of_patience(training: Training, progress: Progress) -> bool:
    """Check whether too many evaluations in a row were no better than the best one."""
    return training.patience is not None and progress.waited >= training.patience


def is_finished(training: Training, progress: Progress) -> bool:
    """Check whether no step is left to take."""
    return progress.step >= training.steps or out_of_patience(training, progress)


def gather(training: Training, positions: np.ndarray, step: int) -> list[Gathered]:
    """Do the CPU's part of making a step's batches; return one item for each micro-batch of this process."""
    accelerator = training.accelerator
    parts = micro_batch_slices(len(positions), accelerator.num_processes, accelerator.process_index, training.micro_batches)
    drawn = training.train.draw(positions, training.augment, training.seed, step)
    return [training.train.gather(drawn, part) for part in parts]


def one_step(
    training: Training, positions: np.ndarray, step: int, totals: EpochTotals, gathered: list[Gathered] | None = None
) -> Tensor:
    """Make one global batch and learn from it.

    Args:
        training: what to train.
        positions: int64 [G], the images of the global batch, as positions in the training split.
        step: its number, from 0.
        totals: the time of making batches is added to it.
        gathered: the result of `gather` for this step; None: call it now.

    Returns:
        This process's sums of losses and hits, float64 [2], on the device.

    Raises:
        NonFiniteLoss: the loss or its gradient is not finite; nothing was changed.
    """
    accelerator, seed = training.accelerator, training.seed
    size = training.size_at(step)
    # Decided now: batches are gathered ahead, and the plan of a run with a given time may have changed since.
    mixes = training.augment.mixes(training.plan.place(step), training.steps)

    def micro_batches() -> Iterator[tuple[Tensor, Tensor]]:
        for part in gathered or gather(training, positions, step):
            yield training.train.finish(part, size, training.augment, mixes=mixes)

    # The last step's random state is not used: dropout is a function of the step as well.
    seed_device(accelerator.device, torch_seed(seed, step, accelerator.process_index))
    training.watch.step = step
    batches: Iterator[tuple[Tensor, ...]] = totals.timed(micro_batches())
    if training.distillation is not None:
        batches = training.distillation.taught(accelerator, batches)
    try:
        sums = train_step(
            training.model,
            batches,
            training.optimizer,
            parts=training.micro_batches,
            total=len(positions),
            lr=training.lr_at(step),
            loss_fn=loss_of(training),
            watch=training.watch,
            clip=training.clip_grad,
        )
    except NonFiniteStep as error:
        raise not_finite(training, error) from None
    if training.averaged is not None:
        training.averaged.follow(training.bare_model, step, training.watch.open)
    return sums


def loss_of(training: Training) -> Callable[..., Tensor]:
    """Return the loss function: it maps outputs, targets and, with a teacher, its output to the losses [B] of the images."""

    def of_labels(logits: Tensor, targets: Tensor) -> Tensor:
        return losses(logits, targets, training.label_smoothing, training.class_weights, training.loss)

    return of_labels if training.distillation is None else training.distillation.losses(of_labels)


def one_step_that_fits(
    training: Training, positions: np.ndarray, step: int, totals: EpochTotals, gathered: list[Gathered]
) -> Tensor:
    """Take a step; if memory runs out, use twice as many micro-batches from then on, and repeat it with the same images.

    Raises:
        NonFiniteLoss: as `one_step` does.
        ZooError: memory ran out, and the step cannot be divided further, or several processes train together.
    """
    while True:
        # A step that was gathered before memory ran out has the old number of micro-batches, and is gathered again.
        known = gathered if len(gathered) == training.micro_batches else None
        try:
            return one_step(training, positions, step, totals, known)
        except NoRoomForStep as error:
            # BatchNorm needs two images while it trains.
            least = 2 if any(norm.training for _, norm in batch_norms(training.bare_model)) else 1
            more = min(2 * training.micro_batches, len(positions) // least)
            if training.accelerator.num_processes > 1 or more <= training.micro_batches:
                # A process cannot repeat a step alone: the others would be in another part of theirs.
                todo = f"zoo train --resume RUN --allow-change train.accumulate={2 * training.micro_batches}"
                raise ZooError(f"step {step + 1}", f"out of memory: {error}", todo) from None
        # Not within the handler: the frames of the error keep the tensors of the failed step alive.
        training.micro_batches = more
        training.optimizer.zero_grad()
        free(training.bare_model)
        Console().warn(f"step {step + 1}: out of memory; each step is divided into {more} micro-batches from now on")


def settle(training: Training) -> None:
    """Wait for the loss and gradient of the last step, which a GPU reports late.

    Raises:
        NonFiniteLoss: its loss or gradient was not finite.
    """
    try:
        training.watch.settle()
    except NonFiniteStep as error:
        raise not_finite(training, error) from None


def not_finite(training: Training, error: NonFiniteStep) -> NonFiniteLoss:
    """Return the error to report for a step that was not finite."""
    epoch = error.step // training.steps_per_epoch + 1
    what = f"the loss or its gradient is not finite, in epoch {epoch}: {error.what}"
    return NonFiniteLoss(error.where, what, "lower optim.lr, warm up longer, or set train.clip_grad")


def micro_batch_slices(total: int, processes: int, rank: int, micro_batches: int) -> list[slice]:
    """Return the slices of a global batch for the micro-batches of one process; all slices differ by one image at most."""
    edges = [total * part // (processes * micro_batches) for part in range(processes * micro_batches + 1)]
    mine = range(rank * micro_batches, (rank + 1) * micro_batches)
    return [slice(edges[part], edges[part + 1]) for part in mine]


def use_stage(training: Training, number: int) -> None:
    """Switch to a stage, counted from 0, and print it, unless it is the current one."""
    stages = training.stages
    if stages is not None and number != stages.current:
        training.frozen = stages.enter(number)
        if stages.prepare is not None:
            training.model, training.optimizer = stages.prepare(training.plain_optimizer)
        set_train_mode(training)


def set_train_mode(training: Training) -> None:
    """Set training mode, except for frozen BatchNorm, whose statistics stay as they are."""
    training.model.train()
    for module in training.frozen:
        module.eval()


def epoch_row(training: Training, epoch: int, step: int, sums: Mapping[str, float]) -> dict[str, Any]:
    """Return an epoch's row of `metrics.jsonl`; evaluate if it is due."""
    loss, hits = sum_over_processes(training.accelerator, [sums["loss"], sums["hits"]])
    images = sums["images"]
    row: dict[str, Any] = {
        "epoch": epoch + 1,
        "step": step,
        "lr": training.lr_at(step - 1),
        "train.loss": loss / images,
        "train.accuracy": hits / images,
        "images_per_second": images / sums["seconds"],
        "data_share": sums["data_seconds"] / sums["seconds"],
        "seconds": sums["seconds"],
    }
    if training.accelerator.scaler is not None:
        row["skipped_steps"] = int(sums["skipped"])
    if (epoch + 1) % training.eval_every == 0 or epoch + 1 == training.epochs:
        average_statistics(training)
        if training.val is not None:
            found = score_val(training, step)
            row |= {f"val.{name}": metric(found.logits, found.targets) for name, metric in METRICS.items()}
        if training.test is not None and training.test_every_epoch:
            row |= {f"test.{name}": value for name, value in score(training, training.test).items()}
    return row


def images_of_row(training: Training, row: Mapping[str, Any]) -> int:
    """Return the number of images that were evaluated for a row of `metrics.jsonl`."""
    splits = {"val": training.val, "test": training.test}
    return sum(len(batches) for name, batches in splits.items() if batches is not None and f"{name}.loss" in row)


def update_best(training: Training, progress: Progress, row: Mapping[str, Any]) -> bool:
    """Record an epoch if it is the best so far, and return whether it is; NaN is never the best."""
    key = training.select_by
    value = row.get(key)
    if value is None:
        return False
    known = -math.inf if progress.best is None else merit(key, progress.best[2])
    if merit(key, value) > known:
        progress.best, progress.waited = (row["epoch"], row["step"], value), 0
        training.best = training.latest
        return True
    progress.waited += 1
    return False
