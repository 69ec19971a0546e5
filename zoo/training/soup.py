"""Average the weights of a run's best epochs into one model: a soup (Wortsman et al. 2022, arXiv:2203.05482).

The weights are those that were evaluated: the moving averages, if there are any. The validation images alone decide which
epochs belong to the average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.data.rng import epoch_order
from zoo.metrics import merit
from zoo.models.layers import batch_norms
from zoo.system import launch
from zoo.training import checkpoint, processes
from zoo.training.checkpoint import Checkpoint, Tensors
from zoo.training.evaluate import score
from zoo.training.state import Training

# Training images on which BatchNorm's statistics are computed again; more images change them little.
STATISTICS_IMAGES = 2_000
# Images in a batch of these: the same for any number of processes.
STATISTICS_BATCH = 64


@dataclass(frozen=True)
class Soup:
    """An average of the weights of some epochs.

    Attributes:
        kind: uniform or greedy.
        candidates: (epoch, value on val) of each epoch that might belong to the average, best first.
        epochs: the epochs that belong to it, best first.
        value: the value of the average on val.
    """

    kind: str
    candidates: tuple[tuple[int, float], ...]
    epochs: tuple[int, ...]
    value: float

    def record(self) -> dict[str, Any]:
        """Return the values for `result.json`."""
        each = [{"epoch": epoch, "value": value, "averaged": epoch in self.epochs} for epoch, value in self.candidates]
        return {"kind": self.kind, "value": self.value, "epochs": each}


def make_soup(training: Training, kind: str, rows: Sequence[Mapping[str, Any]], root: Path) -> Soup | None:
    """Load the average of the best epochs' weights into the evaluated model; return None if they have no checkpoints.

    A greedy soup begins with the best epoch and tries to add the others, best first; an epoch stays if val is no worse with it
    (Recipe 1 of the paper). A greedy soup is therefore never worse than the best epoch on val; a uniform one may be.

    Args:
        training: the run, after its last step; its evaluated model is changed.
        kind: uniform or greedy.
        rows: rows of `metrics.jsonl`, best first.
        root: the folder of the checkpoints, on the first process.

    Raises:
        ZooError: a checkpoint is damaged.
        Interrupted: a signal asks the run to stop.
    """
    key = training.select_by
    there = processes.from_first(launch.read(), lambda: checkpoint.steps(root))
    rows = [row for row in rows if row["step"] in there]
    if not rows:
        return None
    candidates = tuple((row["epoch"], float(row[key])) for row in rows)
    members, value = [rows[0]["epoch"]], candidates[0][1]
    average = _Average().plus(_weights(training, root, rows[0]["step"]))
    for row in rows[1:]:
        trial = average.plus(_weights(training, root, row["step"]))
        if kind == "greedy":
            found = _value(training, trial)
            if merit(key, found) < merit(key, value):
                continue
            value = found
        average = trial
        members.append(row["epoch"])
    if kind == "uniform" and len(members) > 1:
        value = _value(training, average)
    else:
        _give(training, average)
    return Soup(kind, candidates, tuple(members), value)


class _Average:
    """The mean of several models' tensors; integer tensors are those of the first model."""

    def __init__(self, sums: Tensors | None = None, first: Tensors | None = None, count: int = 0) -> None:
        self.sums, self.first, self.count = sums or {}, first or {}, count

    def plus(self, tensors: Tensors) -> _Average:
        """Return the average with another model added."""
        first = self.first or tensors
        # In float64, the mean of a single model is that model, to the bit.
        added = {name: tensor.double() for name, tensor in tensors.items() if tensor.is_floating_point()}
        sums = {name: self.sums[name] + tensor for name, tensor in added.items()} if self.count else added
        return _Average(sums, first, self.count + 1)

    def tensors(self) -> Tensors:
        """Return the mean, in the dtypes of the first model."""
        means = {name: (total / self.count).to(self.first[name].dtype) for name, total in self.sums.items()}
        return {name: means.get(name, tensor) for name, tensor in self.first.items()}


def _weights(training: Training, root: Path, step: int) -> Tensors:
    """Return the evaluated tensors of a checkpoint, on the CPU; only the first process reads the file."""
    start, group, found = launch.read(), "model" if training.averaged is None else "averaged", list[Checkpoint]()

    def read() -> None:
        whole = checkpoint.load(checkpoint.folder_of(root, step))
        found.append(Checkpoint({group: whole.tensors[group]}, {}))

    processes.from_first(start, read)
    return processes.share_checkpoint(start, found[0] if found else None, training.accelerator.device).tensors[group]


def _value(training: Training, average: _Average) -> float:
    """Load an average into the evaluated model; return its value of `select_by` on val."""
    assert training.val is not None
    _give(training, average)
    return score(training, training.val)[training.select_by.removeprefix("val.")]


def _give(training: Training, average: _Average) -> None:
    """Load an average into the evaluated model; if it averages several models, recompute statistics of BatchNorm that trained."""
    model = training.bare_model if training.averaged is None else training.averaged.module
    model.load_state_dict(average.tensors())
    fixed = _always_fixed(training)
    frozen = {name for name, norm in batch_norms(training.bare_model) if any(norm is other for other in fixed)}
    norms = [norm for name, norm in batch_norms(model) if name not in frozen]
    if average.count > 1 and norms:
        compute_statistics(training, model, norms)


def _always_fixed(training: Training) -> list[nn.Module]:
    """Return the BatchNorm layers whose statistics stay as they are throughout the run, in each of its stages."""
    if training.stages is None:
        return training.frozen
    first, *others = (part.fixed for part in training.stages.parts)
    return [norm for norm in first if all(any(norm is other for other in fixed) for fixed in others)]


@torch.no_grad()
def compute_statistics(training: Training, model: nn.Module, norms: Sequence[Any]) -> None:
    """Recompute BatchNorm's running statistics: for averaged weights, they are not the average of the statistics.

    See Izmailov et al. 2018, arXiv:1803.05407, section 3.2. Every process sees the same training images, without augmentation,
    so that all get the same statistics.

    Args:
        training: the run.
        model: its evaluated model; it is in evaluation mode afterwards.
        norms: its layers whose statistics are computed.
    """
    kept = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        # The mean over all batches.
        norm.momentum = None
        norm.train()
    for positions in _statistics_batches(training):
        images, _ = training.train.evaluation(positions, training.eval_size)
        with training.accelerator.autocast():
            model(images)
    for norm, (momentum, count) in zip(norms, kept, strict=True):
        norm.momentum = momentum
        norm.num_batches_tracked.copy_(count)
    model.eval()


def _statistics_batches(training: Training) -> Iterator[np.ndarray]:
    """Yield the positions of training images in batches of about the same size, int64 [B]."""
    order = epoch_order(training.seed, 0, len(training.train))[:STATISTICS_IMAGES]
    yield from np.array_split(order, -(-len(order) // STATISTICS_BATCH))
