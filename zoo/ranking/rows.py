"""A row for each group of runs: its score with an interval, its difference to another row, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.errors import ZooError, nearest
from zoo.metrics import interval
from zoo.models import catalog
from zoo.ranking.groups import Group
from zoo.ranking.runs import Run
from zoo.results.predictions import TENSORS
from zoo.stats.bootstrap import draws_for, paired_difference
from zoo.stats.intervals import deviation, mean, t_interval
from zoo.stats.paired import PairedTable

# The metric whose interval is known for a single run: a share of images.
ACCURACY = "accuracy"
# The tests: of two runs, and of groups of which one has several.
MCNEMAR, BOOTSTRAP = "McNemar", "bootstrap"


@dataclass(frozen=True)
class Score:
    """A group's values of a metric.

    Attributes:
        mean: over the runs.
        deviation: sample deviation over the runs; None for a single run.
        interval: 95 % interval of the mean by Student's t; for the accuracy of a single run Wilson's, for its other metrics
            None.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Paired:
    """The difference in test accuracy to another row, on the same images.

    Attributes:
        difference: this row's accuracy minus the other one's.
        interval: its 95 % interval.
        p: p-value of no difference.
        method: the test: McNemar's, or the bootstrap over runs and images.
    """

    difference: float
    interval: tuple[float, float]
    p: float
    method: str


@dataclass(frozen=True)
class Costs:
    """Costs of the runs of a group, on average; None where a run does not tell.

    Attributes:
        machines: what they were trained on.
        eval_images_per_second: of the pass over the test images.
        params: a count.
        license: of the pretrained weights; '' where none is known or none were used.
    """

    machines: tuple[str, ...]
    train_minutes: float
    train_images_per_second: float
    eval_images_per_second: float | None
    peak_memory_mb: float
    params: int
    license: str


def value_of(run: Run, key: str) -> float | None:
    """Return a run's value of `test.METRIC` or `val.METRIC`; None where it has none."""
    split, _, metric = key.partition(".")
    value = _metrics(run, split).get(metric)
    return value if isinstance(value, float) else None


def check_key(runs: Sequence[Run], key: str) -> None:
    """Refuse a metric that no run has.

    Raises:
        ZooError: naming those that there are.
    """
    if any(value_of(run, key) is not None for run in runs):
        return
    known = [f"{split}.{name}" for split in ("test", "val") for name in _names(runs, split)]
    close = nearest(key, known, 1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise ZooError("--by", f"no run has '{key}'", f"{hint}one of {', '.join(known)}")


def _names(runs: Sequence[Run], split: str) -> list[str]:
    """Return the names of a split's metrics in the order of `zoo.metrics`; other values of the test are no metrics."""
    found = dict.fromkeys(name for run in runs for name, value in _metrics(run, split).items() if isinstance(value, float))
    return list(found)


def _metrics(run: Run, split: str) -> dict[str, Any]:
    result = run.result
    if split == "test":
        return result.test.model_dump() if result.test else {}
    return dict(result.val) if split == "val" else {}


def score(group: Group, key: str) -> Score:
    """Return a group's values of a metric; each of its runs has one."""
    values = [value for run in group.runs if (value := value_of(run, key)) is not None]
    if len(values) > 1:
        return Score(mean(values), deviation(values), t_interval(values))
    split, _, metric = key.partition(".")
    test, run = group.runs[0].result.test, group.runs[0]
    if metric != ACCURACY:
        return Score(values[0], None, None)
    if split == "test" and test is not None:
        return Score(values[0], None, interval(values[0], test.n))
    count = _val_images(run)
    return Score(values[0], None, interval(values[0], count) if count else None)


def _val_images(run: Run) -> int | None:
    """Return the number of validation images of a run, None where its files do not tell."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.path / TENSORS, "numpy") as file:
            return int(file.get_slice("val_targets").get_shape()[0])
    except (OSError, SafetensorError):
        return None


def paired(group: Group, reference: Group, comparisons: int = 1) -> Paired | None:
    """Compare two groups on the test images that all their runs share; None where a run has none.

    Args:
        group: the one.
        reference: the other.
        comparisons: over how many the p-value will be corrected.
    """
    ours, theirs = (_right(one) for one in (group, reference))
    if ours is None or theirs is None:
        return None
    if len(ours) == len(theirs) == 1:
        table = PairedTable.of(theirs[0], ours[0])
        return Paired(table.difference, table.interval, table.p, MCNEMAR)
    found = paired_difference(theirs, ours, draws_for(comparisons))
    return Paired(found.value, found.interval, found.p, BOOTSTRAP)


def _right(group: Group) -> np.ndarray | None:
    """Return whether each run has each test image right, bool [S, N]."""
    answers = [run.answers.right for run in group.runs if run.answers]
    return np.stack(answers) if len(answers) == len(group.runs) and len(answers[0]) else None


def costs(group: Group) -> Costs:
    """Return what a group's runs cost."""
    results = [run.result for run in group.runs]
    training = [result.train for result in results]
    speeds = [train.eval_images_per_second for train in training]
    known = [speed for speed in speeds if speed is not None and math.isfinite(speed)]
    return Costs(
        machines=tuple(sorted({run.machine for run in group.runs})),
        train_minutes=mean([train.seconds for train in training]) / 60,
        train_images_per_second=mean([train.images_per_second for train in training]),
        eval_images_per_second=mean(known) if len(known) == len(speeds) else None,
        peak_memory_mb=mean([train.peak_memory_mb for train in training]),
        params=results[0].params,
        license=catalog.license_of(results[0].backbone, results[0].weights),
    )
