"""What a run keeps as it goes: its rows, `metrics.jsonl`, and checkpoints that it can go on from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zoo import checkpoint, tune, weights
from zoo.metrics import merit
from zoo.recipe import Recipe
from zoo.run import Console, Run, row
from zoo.splits import Splits
from zoo.train import Progress, Task, optimizer_of, summed


@dataclass
class Job:
    """What a run is made of, besides the loop's own `Task`."""

    recipe: Recipe
    task: Task
    data: Splits
    built: weights.Built
    preprocessing: dict[str, Any]
    choice: tune.Choice
    threads: int
    console: Console
    device_name: str
    probe_seconds: float = 0.0


def splits_shown(job: Job) -> list[str]:
    """The evaluated splits that the epoch rows show."""
    test = job.recipe.eval.test_every_epoch and job.data.test is not None
    return [name for name, shown in (("val", job.data.val is not None), ("test", test)) if shown]


class Saver:
    """What happens after a step and an epoch: rows, `metrics.jsonl`, checkpoints."""

    def __init__(self, job: Job, run: Run) -> None:
        self.job, self.run = job, run
        number, unit = job.recipe.output.checkpoint_every.split()
        per_epoch = job.task.steps_per_epoch
        self.every = int(number) * (per_epoch if unit.startswith("epoch") else 1)
        self.root = run.path / "checkpoints"

    def after_step(self, progress: Progress, sums: Callable[[], dict[str, float]]) -> None:
        """Save in the middle of an epoch, where the recipe wants that."""
        if progress.step % self.every == 0:
            progress.partial = sums()
            self._save(progress)

    def after_epoch(self, progress: Progress, best: bool) -> None:
        """Print and keep the row; save where due."""
        values = progress.history[-1]
        accelerator = self.job.task.accelerator
        self.job.console.line(row(values, splits_shown(self.job)))
        if accelerator.is_main_process:
            self.run.write_history(progress.history)
        if self.job.recipe.output.track:
            accelerator.log({key: value for key, value in values.items() if value is not None}, step=progress.step)
        last = progress.step == self.job.task.steps
        if best or last or progress.step % self.every == 0:
            self._save(progress)

    def _save(self, progress: Progress) -> None:
        task = self.job.task
        state = plain_values(self.job, progress)
        if task.accelerator.is_main_process:
            checkpoint.save(self.root, progress.step, _pack(self.job, state))
            best = self._best(progress)
            keep = {*checkpoint.steps(self.root)[-self.job.recipe.output.keep_last :], *best}
            self.run.write_json("checkpoints/best.json", {"steps": best, "by": self.job.recipe.eval.select_by})
            checkpoint.prune(self.root, keep)
        task.accelerator.wait_for_everyone()

    def _best(self, progress: Progress) -> list[int]:
        """The steps of the best evaluations, best first; the selected one is always among them."""
        key = self.job.recipe.eval.select_by
        rows = [row for row in progress.history if row.get(key) is not None and not math.isnan(row[key])]
        ranked = sorted(rows, key=lambda row: merit(key, row[key]), reverse=True)
        return [row["step"] for row in ranked[: max(1, self.job.recipe.output.keep_best)]]


def plain_values(job: Job, progress: Progress) -> dict[str, Any]:
    """The plain values of a checkpoint. Sums of the epoch at hand are added up over the processes."""
    accelerator = job.task.accelerator
    partial = dict(progress.partial)
    if partial:
        partial["loss"], partial["hits"] = summed(accelerator, [partial["loss"], partial["hits"]])
    choice = {"precision": job.choice.precision, "channels_last": job.choice.channels_last, "accumulate": job.choice.accumulate}
    return {
        "step": progress.step,
        "history": progress.history,
        "best": progress.best,
        "waited": progress.waited,
        "partial": partial,
        "choice": choice,
        "probe_seconds": job.probe_seconds,
        "classes": list(job.data.classes),
        "threads": job.threads,
    }


def _pack(job: Job, state: dict[str, Any]) -> checkpoint.Checkpoint:
    task = job.task
    moments, plain = checkpoint.pack_optimizer(optimizer_of(task))
    tensors = {"model": job.built.model.state_dict(), "optimizer": moments}
    if task.averaged is not None:
        tensors["averaged"] = task.averaged.module.state_dict()
    state = state | {"optimizer": plain}
    if task.accelerator.scaler is not None:
        state["scaler"] = task.accelerator.scaler.state_dict()
    return checkpoint.Checkpoint(tensors, state)


def restore(job: Job, saved: checkpoint.Checkpoint) -> Progress:
    """Bring the model, its average, the optimizer and the progress to where a checkpoint was."""
    task, state = job.task, saved.state
    load_model(job, saved)
    checkpoint.unpack_optimizer(optimizer_of(task), saved.tensors["optimizer"], state["optimizer"])
    if task.accelerator.scaler is not None and "scaler" in state:
        task.accelerator.scaler.load_state_dict(state["scaler"])
    job.probe_seconds = state["probe_seconds"]
    partial = dict(state["partial"])
    if partial and not task.accelerator.is_main_process:
        partial |= {"loss": 0.0, "hits": 0.0}
    best = tuple(state["best"]) if state["best"] else None
    return Progress(state["step"], state["history"], best, state["waited"], partial)


def load_model(job: Job, saved: checkpoint.Checkpoint) -> None:
    """Give the model (and its average) a checkpoint's tensors."""
    job.built.model.load_state_dict(saved.tensors["model"])
    if job.task.averaged is not None:
        job.task.averaged.module.load_state_dict(saved.tensors["averaged"])
