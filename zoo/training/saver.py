"""Save what a run can be resumed from: the rows of `metrics.jsonl`, and checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from zoo.data.changes import summary
from zoo.errors import NonFiniteLoss, Stopped
from zoo.optim.state import pack_state
from zoo.results.epoch_table import row
from zoo.results.folder import RunFolder
from zoo.section import decided
from zoo.system import launch, signals
from zoo.system.console import plural
from zoo.system.hardware import versions
from zoo.training import checkpoint, processes
from zoo.training.checkpoint import Checkpoint
from zoo.training.evaluate import running_statistics
from zoo.training.loop import is_finished, settle
from zoo.training.setup import Setup
from zoo.training.state import Progress

# Version of the content of a checkpoint.
FORMAT = 2


def splits_shown(setup: Setup) -> list[str]:
    """Return the evaluated splits that the epoch rows show."""
    test = setup.recipe.eval.test_every_epoch and setup.inputs.data.test is not None
    return [name for name, shown in (("val", setup.inputs.data.val is not None), ("test", test)) if shown]


class Saver:
    """Writes rows, `metrics.jsonl` and checkpoints after steps and epochs."""

    def __init__(self, setup: Setup, run: RunFolder, until_epoch: int | None = None) -> None:
        self.setup, self.run, self.until_epoch = setup, run, until_epoch
        number, unit = setup.recipe.output.checkpoint_every.split()
        per_epoch = setup.training.steps_per_epoch
        self.every = int(number) * (per_epoch if unit.startswith("epoch") else 1)
        self.root = run.path / "checkpoints"

    def after_step(self, progress: Progress, sums: Callable[[], dict[str, float]]) -> None:
        """Save in the middle of an epoch, if the recipe asks for it or a signal asks the run to stop.

        Raises:
            Stopped: a signal asked any of the processes to stop.
        """
        training = self.setup.training
        # Several processes must stop after the same step: the step itself tells them of a signal.
        asked = training.watch.stopping or (training.accelerator.num_processes == 1 and bool(signals.requested()))
        last = progress.step in ((len(progress.history) + 1) * training.steps_per_epoch, training.steps)
        # The last step of an epoch is saved after its evaluation.
        if asked or (progress.step % self.every == 0 and not last):
            progress.partial = sums()
            self.save(progress)
        if asked:
            raise self.stopped(progress)

    def stopped(self, progress: Progress) -> Stopped:
        """Return the error that reports an orderly stop of the run."""
        who, newest = signals.requested() or "another process", max(checkpoint.steps(self.root), default=None)
        if newest is None:
            return Stopped(who, f"after step {progress.step}, before a checkpoint", "nothing was saved: start it again")
        saved = "which is saved" if newest == progress.step else f"step {newest} is saved"
        return Stopped(who, f"after step {progress.step}, {saved}", f"resume it with --resume {self.run.path}")

    def after_epoch(self, progress: Progress, best: bool) -> None:
        """Print and write the row of an epoch; save a checkpoint if one is due."""
        values = progress.history[-1]
        accelerator = self.setup.training.accelerator
        self.setup.console.line(row(values, splits_shown(self.setup)))
        if skipped := values.get("skipped_steps"):
            self.setup.console.warn(f"fp16's scaler skipped {plural(skipped, 'step')} of this epoch")
        if accelerator.is_main_process:
            self.run.write_history(progress.history)
        if self.setup.recipe.output.track:
            accelerator.log({key: value for key, value in values.items() if value is not None}, step=progress.step)
        last = is_finished(self.setup.training, progress) or len(progress.history) == self.until_epoch
        # A soup averages all of the best epochs, not only those that were the best at their time.
        averaged = self.setup.recipe.train.soup != "none" and progress.step in self._best(progress)
        if best or last or averaged or progress.step % self.every == 0:
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, then remove those that are no longer kept."""
        training = self.setup.training
        settle(training)
        check_replicas(self.setup, progress.step)
        packed = pack(self.setup, plain_values(self.setup, progress))
        if training.accelerator.is_main_process:
            check_finite(packed.tensors["model"], progress.step)
            checkpoint.save(self.root, progress.step, packed)
            best = self._best(progress)
            # Later checkpoints are damaged: the run was resumed from an earlier one.
            known = [step for step in checkpoint.steps(self.root) if step <= progress.step]
            keep = {*known[-self.setup.recipe.output.keep_last :], *best}
            self.run.write_json("checkpoints/best.json", {"steps": best, "by": self.setup.recipe.eval.select_by})
            checkpoint.prune(self.root, keep)
        training.accelerator.wait_for_everyone()

    def _best(self, progress: Progress) -> list[int]:
        """Return the steps of the best evaluations, best first; the selected one is always among them."""
        ranked = progress.ranked(self.setup.recipe.eval.select_by)
        best = [row["step"] for row in ranked[: max(1, decided(self.setup.recipe.output.keep_best))]]
        # After a run was given more time, a better epoch may be left in the history that has no checkpoint any more.
        selected = [] if progress.best is None else [progress.best[1]]
        return list(dict.fromkeys([*best, *selected]))


def plain_values(setup: Setup, progress: Progress) -> dict[str, Any]:
    """Return the plain values of a checkpoint; in the middle of an epoch, they have the sums of loss and hits of each process."""
    accelerator = setup.training.accelerator
    partial: dict[str, Any] = dict(progress.partial)
    if partial:
        mine = torch.tensor([[partial["loss"], partial["hits"]]], dtype=torch.float64, device=accelerator.device)
        partial["loss"], partial["hits"] = cast("Tensor", accelerator.gather(mine)).T.tolist()
    choice = setup.execution.choice
    return {
        "format": FORMAT,
        "step": progress.step,
        "history": progress.history,
        "best": progress.best,
        "waited": progress.waited,
        "partial": partial,
        "choice": {
            "precision": choice.precision,
            "channels_last": choice.channels_last,
            # The current number of micro-batches: if memory ran out, it is larger than the chosen one.
            "accumulate": setup.training.micro_batches,
        },
        "asked_accumulate": setup.recipe.train.accumulate,
        "probe_seconds": setup.probe_seconds,
        "feature_seconds": setup.feature_seconds,
        "plan": setup.training.plan.record(),
        "budget": setup.training.budget.record() if setup.training.budget is not None else {},
        "data": setup.inputs.data.fingerprint(),
        "data_summary": summary(setup.inputs.data),
        "began": environment_facts(setup),
        **teacher_facts(setup),
    }


def teacher_facts(setup: Setup) -> dict[str, Any]:
    """Return the teacher's path and digest as `teacher`; an empty dict without a teacher."""
    distillation = setup.training.distillation
    return {} if distillation is None else {"teacher": distillation.teacher.record()}


def environment_facts(setup: Setup) -> dict[str, Any]:
    """Return the facts that decide, besides the recipe, which bits a run computes."""
    return {
        "processes": setup.training.accelerator.num_processes,
        "threads": setup.threads,
        "device": setup.device_name,
        **{name: version for name, version in versions().items() if name in ("torch", "timm", "accelerate")},
    }


def check_replicas(setup: Setup, step: int) -> None:
    """Check that all processes have the same weights, after the same step, trained in the same way.

    Gradients are averaged, but weights are not: once different, they would stay different without an error.

    Raises:
        ZooError: they differ; raised on all.
    """
    start = launch.read()
    if start.processes > 1:
        weights = hashlib.sha256()
        for parameter in setup.training.learner.parameters():
            weights.update(processes.bytes_of(parameter.detach().contiguous().cpu()).numpy().data)
        facts = {"step": str(step), "choice": str(setup.execution.choice), "digest of the weights": weights.hexdigest()[:16]}
        processes.check_alike(start, facts, f"after step {step}")


def check_finite(tensors: Mapping[str, Tensor], step: int) -> None:
    """Check that weights are finite before they are saved.

    Raises:
        NonFiniteLoss: some are not, and nothing was saved.
    """
    broken = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if broken is not None:
        what = f"the weights are not finite, first {broken}; the checkpoint was not written"
        raise NonFiniteLoss(f"step {step}", what, "lower optim.lr, warm up longer, or set train.clip_grad")


def pack(setup: Setup, state: dict[str, Any]) -> Checkpoint:
    """Return a checkpoint: weights, optimizer, averages and statistics, and the plain values in `state`."""
    training = setup.training
    packed, plain = pack_state(training.plain_optimizer, training.learner)
    tensors = {"model": setup.bare_model.state_dict(), "optimizer": packed}
    if training.averaged is not None:
        tensors["averaged"] = training.averaged.module.state_dict()
    if training.distillation is not None and training.distillation.projected is not None:
        tensors["projection"] = training.distillation.projected.projection.state_dict()
    if training.accelerator.num_processes > 1 and (mine := running_statistics(training)):
        # Until the next evaluation averages them, each process has BatchNorm statistics of its own.
        flat = torch.cat([buffer.flatten() for buffer in mine])
        tensors["statistics"] = {"of_each_process": cast("Tensor", training.accelerator.gather(flat.unsqueeze(0)))}
    state = state | {"optimizer": {"name": setup.recipe.optim.name, **plain}}
    if training.accelerator.scaler is not None:
        state["scaler"] = training.accelerator.scaler.state_dict()
    return Checkpoint(tensors, state)
