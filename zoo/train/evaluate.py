"""Score a model on a split, over all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.data.batches import Batches
from zoo.errors import ZooError
from zoo.metrics import METRICS
from zoo.system import signals
from zoo.train.state import Training

Metric = Callable[[Tensor, Tensor], float]


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


def score(task: Training, batches: Batches) -> dict[str, float]:
    """Every metric of a split, with the averaged weights where there are some."""
    logits, targets = evaluate(task.accelerator, eval_model(task), batches, task.recipe.image_size.end, evaluation_batch(task))
    return {name: metric(logits, targets) for name, metric in METRICS.items()}


def eval_model(task: Training) -> nn.Module:
    """The model that is evaluated and saved."""
    return task.averaged.module if task.averaged is not None else task.model


def evaluation_batch(task: Training) -> int:
    """Images of an evaluation batch on one process: no more than a training step holds."""
    return max(1, task.recipe.train.batch_size // (task.accelerator.num_processes * task.micro_batches))


def summed(accelerator: Accelerator, values: list[float]) -> list[float]:
    """Add up plain numbers over the processes."""
    mine = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    return cast("Tensor", accelerator.reduce(mine, "sum")).tolist()


@torch.no_grad()
def average_statistics(task: Training) -> None:
    """Make BatchNorm's running statistics the same on all processes: each has seen its own images only."""
    if task.accelerator.num_processes > 1:
        for buffer in statistics(task):
            buffer.copy_(cast("Tensor", task.accelerator.reduce(buffer, "mean")))


def statistics(task: Training) -> list[Tensor]:
    """Float buffers, which may differ between processes: BatchNorm's running statistics, of the model and of its average."""
    models = [task.model, *([task.averaged.module] if task.averaged is not None else [])]
    return [buffer for model in models for buffer in model.buffers() if buffer.is_floating_point()]
