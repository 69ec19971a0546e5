"""What a run keeps as it goes: its rows, `metrics.jsonl`, and checkpoints that it can go on from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from zoo.errors import NonFiniteLoss, Stopped, ZooError
from zoo.metrics import merit
from zoo.optim.state import pack_state, unpack_state
from zoo.results.epoch_table import row
from zoo.results.folder import RunFolder
from zoo.system import signals
from zoo.system.hardware import versions
from zoo.train import checkpoint
from zoo.train.checkpoint import Checkpoint
from zoo.train.evaluate import statistics, stopping
from zoo.train.loop import is_finished
from zoo.train.state import Progress, Setup, optimizer_of

# Changes when what a checkpoint holds does.
FORMAT = 2


def splits_shown(job: Setup) -> list[str]:
    """The evaluated splits that the epoch rows show."""
    test = job.recipe.eval.test_every_epoch and job.data.test is not None
    return [name for name, shown in (("val", job.data.val is not None), ("test", test)) if shown]


class Saver:
    """What happens after a step and an epoch: rows, `metrics.jsonl`, checkpoints."""

    def __init__(self, job: Setup, run: RunFolder) -> None:
        self.job, self.run = job, run
        number, unit = job.recipe.output.checkpoint_every.split()
        per_epoch = job.task.steps_per_epoch
        self.every = int(number) * (per_epoch if unit.startswith("epoch") else 1)
        self.root = run.path / "checkpoints"

    def after_step(self, progress: Progress, sums: Callable[[], dict[str, float]]) -> None:
        """Save in the middle of an epoch, where the recipe wants that or a signal asks the run to stop.

        Raises:
            Stopped: a signal did, on any of the processes.
        """
        task = self.job.task
        asked = stopping(task.accelerator)
        last = progress.step == (len(progress.history) + 1) * task.steps_per_epoch
        # The last step of an epoch is saved after its evaluation.
        if asked or (progress.step % self.every == 0 and not last):
            progress.partial = sums()
            self.save(progress)
        if asked:
            raise self.stopped(progress)

    def stopped(self, progress: Progress) -> Stopped:
        """What is said when a run stops in order."""
        who, newest = signals.requested() or "another process", max(checkpoint.steps(self.root), default=None)
        if newest is None:
            return Stopped(who, f"after step {progress.step}, before a checkpoint", "nothing was saved: start it again")
        saved = "which is saved" if newest == progress.step else f"step {newest} is saved"
        return Stopped(who, f"after step {progress.step}, {saved}", f"go on with --resume {self.run.path}")

    def after_epoch(self, progress: Progress, best: bool) -> None:
        """Print and keep the row; save where due."""
        values = progress.history[-1]
        accelerator = self.job.task.accelerator
        self.job.console.line(row(values, splits_shown(self.job)))
        if accelerator.is_main_process:
            self.run.write_history(progress.history)
        if self.job.recipe.output.track:
            accelerator.log({key: value for key, value in values.items() if value is not None}, step=progress.step)
        if best or is_finished(self.job.task, progress) or progress.step % self.every == 0:
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, then remove those that are not to be kept."""
        task = self.job.task
        packed = _pack(self.job, plain_values(self.job, progress))
        if task.accelerator.is_main_process:
            check_finite(packed.tensors["model"], progress.step)
            checkpoint.save(self.root, progress.step, packed)
            best = self._best(progress)
            # Later ones are damaged: the run went on from before them.
            known = [step for step in checkpoint.steps(self.root) if step <= progress.step]
            keep = {*known[-self.job.recipe.output.keep_last :], *best}
            self.run.write_json("checkpoints/best.json", {"steps": best, "by": self.job.recipe.eval.select_by})
            checkpoint.prune(self.root, keep)
        task.accelerator.wait_for_everyone()

    def _best(self, progress: Progress) -> list[int]:
        """The steps of the best evaluations, best first; the selected one is always among them."""
        key = self.job.recipe.eval.select_by
        rows = [row for row in progress.history if row.get(key) is not None and not math.isnan(row[key])]
        ranked = sorted(rows, key=lambda row: merit(key, row[key]), reverse=True)
        return [row["step"] for row in ranked[: max(1, self.job.recipe.output.keep_best)]]


def plain_values(job: Setup, progress: Progress) -> dict[str, Any]:
    """The plain values of a checkpoint. Of loss and hits of the epoch at hand, the sums of each process."""
    accelerator = job.task.accelerator
    partial: dict[str, Any] = dict(progress.partial)
    if partial:
        mine = torch.tensor([[partial["loss"], partial["hits"]]], dtype=torch.float64, device=accelerator.device)
        partial["loss"], partial["hits"] = cast("Tensor", accelerator.gather(mine)).T.tolist()
    choice = {"precision": job.choice.precision, "channels_last": job.choice.channels_last, "accumulate": job.choice.accumulate}
    return {
        "format": FORMAT,
        "step": progress.step,
        "history": progress.history,
        "best": progress.best,
        "waited": progress.waited,
        "partial": partial,
        "choice": choice,
        "probe_seconds": job.probe_seconds,
        "data": job.data.mark(),
        "began": environment_facts(job),
    }


def environment_facts(job: Setup) -> dict[str, Any]:
    """What decides, besides the recipe, which bits a run computes."""
    return {
        "processes": job.task.accelerator.num_processes,
        "threads": job.threads,
        "device": job.device_name,
        **{name: version for name, version in versions().items() if name in ("torch", "timm", "accelerate")},
    }


def check_finite(tensors: Mapping[str, Tensor], step: int) -> None:
    """See that weights are finite before they are saved.

    Raises:
        NonFiniteLoss: some are not, and nothing was saved.
    """
    broken = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if broken is not None:
        what = f"the weights are not finite, first {broken}; the checkpoint was not written"
        raise NonFiniteLoss(f"step {step}", what, "lower optim.lr, warm up longer, or set train.clip_grad")


def _pack(job: Setup, state: dict[str, Any]) -> Checkpoint:
    task = job.task
    packed, plain = pack_state(optimizer_of(task), job.built.model)
    tensors = {"model": job.built.model.state_dict(), "optimizer": packed}
    if task.averaged is not None:
        tensors["averaged"] = task.averaged.module.state_dict()
    if task.accelerator.num_processes > 1 and (mine := statistics(task)):
        # Until the next evaluation averages them, each process has BatchNorm statistics of its own.
        flat = torch.cat([buffer.flatten() for buffer in mine])
        tensors["statistics"] = {"of_each_process": cast("Tensor", task.accelerator.gather(flat.unsqueeze(0)))}
    state = state | {"optimizer": {"name": job.recipe.optim.name, **plain}}
    if task.accelerator.scaler is not None:
        state["scaler"] = task.accelerator.scaler.state_dict()
    return Checkpoint(tensors, state)


def restore(job: Setup, saved: Checkpoint) -> Progress:
    """Bring the model, its average, the optimizer and the progress to where a checkpoint was.

    Raises:
        ZooError: the checkpoint is of another model or data.
    """
    task, state = job.task, saved.state
    if state.get("format") != FORMAT:
        raise ZooError("--resume", "the run was begun with another version of zoo", "start a new run")
    if state["data"] != job.data.mark():
        raise ZooError("--resume", "the images or their classes have changed since the run began", "start a new run")
    load_model(job, saved)
    if state["optimizer"]["name"] == job.recipe.optim.name:
        unpack_state(optimizer_of(task), job.built.model, saved.tensors["optimizer"], state["optimizer"])
    else:
        job.console.warn(f"{job.recipe.optim.name} starts without what {state['optimizer']['name']} kept of earlier steps")
    if task.accelerator.scaler is not None and "scaler" in state:
        task.accelerator.scaler.load_state_dict(state["scaler"])
    job.probe_seconds = state["probe_seconds"]
    rank, processes = task.accelerator.process_index, task.accelerator.num_processes
    partial = dict(state["partial"])
    for key in ("loss", "hits"):
        if partial:
            values = partial[key]
            partial[key] = values[rank] if len(values) == processes else sum(values) * (rank == 0)
    own = saved.tensors.get("statistics", {}).get("of_each_process")
    if own is not None and len(own) == processes:
        mine = statistics(task)
        for buffer, values in zip(mine, own[rank].split([buffer.numel() for buffer in mine]), strict=True):
            buffer.copy_(values.view_as(buffer))
    best = tuple(state["best"]) if state["best"] else None
    return Progress(state["step"], state["history"], best, state["waited"], partial)


def load_model(job: Setup, saved: Checkpoint) -> None:
    """Give the model (and its average) a checkpoint's tensors."""
    job.built.model.load_state_dict(saved.tensors["model"])
    if job.task.averaged is not None:
        job.task.averaged.module.load_state_dict(saved.tensors["averaged"])
