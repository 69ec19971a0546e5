"""The values of a leaderboard row for a group of runs: its score with an interval, its difference to another row, its costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.errors import ZooError, nearest
from zoo.metrics import interval
from zoo.models import catalog
from zoo.ranking.groups import FOLD, Group
from zoo.ranking.runs import Run
from zoo.results.predictions import TENSORS
from zoo.stats.intervals import deviation, mean, t_interval
from zoo.stats.paired import PairedTable
from zoo.stats.runs_and_images import paired_difference

# The metric that has an interval even for a single run, because it is a share of images.
ACCURACY = "accuracy"
# The tests: between two single runs, and between groups if one has several runs.
MCNEMAR, T_TEST = "McNemar", "t test"


@dataclass(frozen=True)
class Score:
    """A group's values of a metric.

    Attributes:
        mean: mean over the runs.
        deviation: sample standard deviation over the runs; None for a single run.
        interval: 95 % interval of the mean by Student's t, None for folds. For a single run, Wilson's interval of the accuracy,
            and None for other metrics.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Paired:
    """The difference in test accuracy to another row, on the same images.

    Attributes:
        difference: this row's accuracy minus the other row's.
        interval: 95 % interval of the difference.
        p: p-value of the null hypothesis of no difference.
        method: MCNEMAR, or T_TEST over runs and images.
    """

    difference: float
    interval: tuple[float, float]
    p: float
    method: str


@dataclass(frozen=True)
class Costs:
    """Mean costs of the runs of a group; a speed is None if a run does not have it.

    Attributes:
        machines: the machines that the runs were trained on.
        eval_images_per_second: speed of the pass over the test images.
        params: number of parameters.
        license: license of the pretrained weights; '' if unknown or if none were used.
    """

    machines: tuple[str, ...]
    train_minutes: float
    train_images_per_second: float
    eval_images_per_second: float | None
    peak_memory_mb: float
    params: int
    license: str


def value_of(run: Run, key: str) -> float | None:
    """Return a run's value of `test.METRIC` or `val.METRIC`, or None if it has none."""
    split, _, metric = key.partition(".")
    value = _metrics(run, split).get(metric)
    return value if isinstance(value, float) else None


def check_key(runs: Sequence[Run], key: str) -> None:
    """Check that at least one run has the metric.

    Raises:
        ZooError: no run has it; the error lists the known metrics.
    """
    if any(value_of(run, key) is not None for run in runs):
        return
    known = [f"{split}.{name}" for split in ("test", "val") for name in _names(runs, split)]
    close = nearest(key, known, 1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise ZooError("--by", f"no run has '{key}'", f"{hint}one of {', '.join(known)}")


def _names(runs: Sequence[Run], split: str) -> list[str]:
    """Return the names of a split's metrics, in the order of `zoo.metrics`; test values that are not floats are not metrics."""
    found = dict.fromkeys(name for run in runs for name, value in _metrics(run, split).items() if isinstance(value, float))
    return list(found)


def _metrics(run: Run, split: str) -> dict[str, Any]:
    result = run.result
    if split == "test":
        return result.test.model_dump() if result.test else {}
    return dict(result.val) if split == "val" else {}


def score(group: Group, key: str) -> Score:
    """Return a group's score in a metric that each of its runs has."""
    values = [value for run in group.runs if (value := value_of(run, key)) is not None]
    if len(values) > 1:
        # Folds share most of their training images, so the deviation says little about the error of their mean.
        folds = len({run.recipe.get(FOLD, 0) for run in group.runs}) > 1
        return Score(mean(values), deviation(values), None if folds else t_interval(values))
    split, _, metric = key.partition(".")
    test, run = group.runs[0].result.test, group.runs[0]
    if metric != ACCURACY:
        return Score(values[0], None, None)
    if split == "test" and test is not None:
        return Score(values[0], None, interval(values[0], test.n))
    count = _val_images(run)
    return Score(values[0], None, interval(values[0], count) if count else None)


def _val_images(run: Run) -> int | None:
    """Return the number of validation images of a run, or None if its predictions file does not have it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.path / TENSORS, "numpy") as file:
            return int(file.get_slice("val_targets").get_shape()[0])
    except (OSError, SafetensorError):
        return None


def paired(group: Group, reference: Group) -> Paired | None:
    """Compare a group with a reference on the test images of their runs; return None if a run has no test images."""
    ours, theirs = (_right(one) for one in (group, reference))
    if ours is None or theirs is None:
        return None
    if len(ours) == len(theirs) == 1:
        table = PairedTable.of(theirs[0], ours[0])
        return Paired(table.difference, table.interval, table.p, MCNEMAR)
    found = paired_difference(theirs, ours)
    return Paired(found.value, found.interval, found.p, T_TEST)


def _right(group: Group) -> np.ndarray | None:
    """Return whether each of S runs classifies each test image correctly, bool [S, N], or None if a run has no test images."""
    answers = [run.answers.right for run in group.runs if run.answers]
    return np.stack(answers) if len(answers) == len(group.runs) and len(answers[0]) else None


def costs(group: Group) -> Costs:
    """Return the mean costs of a group's runs."""
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
