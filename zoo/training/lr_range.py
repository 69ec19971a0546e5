"""Take training steps with a rising learning rate, and record the loss of each: a range test (Smith 2015, arXiv:1506.01186).

The set-up is the same as for a run, and the trained weights are discarded. Validation and test images are not used, and only
caches are written.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from zoo.errors import NonFiniteLoss, ZooError
from zoo.recipe.recipe import Recipe
from zoo.system import launch
from zoo.system.console import Console, plural
from zoo.system.progress import show_progress
from zoo.training.budget import StepPlan
from zoo.training.cached_features import use_features
from zoo.training.evaluate import sum_over_processes
from zoo.training.forecast import prepare
from zoo.training.linear_probe import start_head
from zoo.training.loop import gather, one_step_that_fits, set_train_mode, settle
from zoo.training.lr_rule import Suggestion, has_diverged, rates_between, smoothed, suggest
from zoo.training.state import EpochTotals, Training, epoch_batches
from zoo.training.timing import sampled

# The first and the last rate as multiples of `optim.lr`: from far below to far above any rate that trains.
BELOW, ABOVE = 1e-3, 1e3
# Why a test ended early.
DIVERGED = "the loss diverged"
NOT_FINITE = "the loss was not finite"


@dataclass(frozen=True)
class RangeTest:
    """The steps of a range test.

    Attributes:
        rates: the learning rate of each step that was taken, ascending.
        losses: the mean loss of each step's images.
        steps: the number of steps to take.
        ended: why the test ended early; '' if it did not.
        batch_size: images of a step.
        image_size: their side in pixels.
        suggestion: the suggested rate; None if the loss never fell.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steps: int
    ended: str
    batch_size: int
    image_size: int
    suggestion: Suggestion | None

    @property
    def smoothed(self) -> list[float]:
        """The smoothed losses."""
        return smoothed(self.losses)

    @property
    def still_falling(self) -> bool:
        """Tell whether the loss was lowest at the last step: higher rates may do better."""
        return self.smoothed[-1] == min(self.smoothed)

    def record(self) -> dict[str, Any]:
        """Return all fields as plain values, with the smoothed losses."""
        assert self.suggestion is not None
        size = {"batch_size": self.batch_size, "image_size": self.image_size}
        curve = {"rates": self.rates, "losses": self.losses, "smoothed": self.smoothed}
        return asdict(self.suggestion) | {"steps": len(self.rates), "ended": self.ended} | size | curve


def range_test(recipe: Recipe, steps: int, console: Console, began: float | None = None) -> RangeTest:
    """Set up a recipe as a run does, and test learning rates around its `optim.lr`.

    Args:
        recipe: the recipe of the run.
        steps: most steps to take.
        console: where to print what the start of a run prints.
        began: `time.perf_counter()` at the start of the program; None: now.

    Raises:
        ZooError: bad input, as for a run; or the loss never fell.
    """
    if recipe.finetune.stages != "none":
        what = "each stage trains different parameters, but a test has one rate for all"
        raise ZooError("finetune.stages", what, "test a single stage: finetune.stages=none finetune.freeze=…")
    start = launch.read()
    with launch.lost_processes(start, recipe.train.timeout):
        setup, _ = prepare(recipe, start, console, time.perf_counter() if began is None else began)
        if recipe.finetune.probe_first:
            start_head(setup)
        use_features(setup)
        found = rise(setup.training, recipe.optim.lr, steps)
    if found.suggestion is None:
        what = f"the loss did not fall at any rate from {found.rates[0] if found.rates else recipe.optim.lr:.2g} on"
        raise ZooError("optim.lr", what, "use more --steps, or another optim.lr as the center of the test")
    return found


def rise(training: Training, lr: float, steps: int) -> RangeTest:
    """Take steps whose learning rate rises around `lr`, until the loss diverges.

    Args:
        training: ready to train; its weights are unusable afterwards.
        lr: the rate in the middle, on a logarithmic axis; each parameter group has its own multiple of it, as in a run.
        steps: most steps to take.
    """
    rates = rates_between(BELOW * lr, ABOVE * lr, steps)
    # The image size that the run has at its highest learning rate.
    size = training.size_at(max(sampled(training.steps), key=training.lr_at))
    plan = StepPlan.of(steps)
    tested = replace(training, plan=plan, lr_at=rates.__getitem__, size_at=lambda _step: size, averaged=None, budget=None)
    set_train_mode(tested)
    losses: list[float] = []
    ended = ""
    shown = training.accelerator.is_main_process
    with show_progress("range test", steps * training.batch_size, shown=shown) as count_images:
        for step, positions in enumerate(itertools.islice(_batches(tested), steps)):
            loss = _loss_of(tested, positions, step)
            ended = NOT_FINITE if loss is None else ""
            if loss is None:
                break
            losses.append(loss)
            count_images(len(positions))
            if has_diverged(losses):
                ended = DIVERGED
                break
    taken = rates[: len(losses)]
    return RangeTest(tuple(taken), tuple(losses), steps, ended, training.batch_size, size, suggest(taken, losses))


def _batches(training: Training) -> Iterator[np.ndarray]:
    """Yield the images of each step, epoch after epoch, without end."""
    for epoch in itertools.count():
        yield from epoch_batches(training.seed, epoch, training.train, training.batch_size, training.sampler)


def _loss_of(training: Training, positions: np.ndarray, step: int) -> float | None:
    """Take a step and return the mean loss of its images, over all processes; None if the loss or gradient is not finite."""
    try:
        sums = one_step_that_fits(training, positions, step, EpochTotals(), gather(training, positions, step))
        # A GPU reports a gradient that is not finite one step late: wait for it.
        settle(training)
    except NonFiniteLoss:
        return None
    loss = sum_over_processes(training.accelerator, [float(sums[0])])[0] / len(positions)
    return loss if math.isfinite(loss) else None


def described(found: RangeTest) -> list[tuple[str, str]]:
    """Return the lines to print for a test, each with its label."""
    read = found.suggestion
    assert read is not None
    ended = f", ended after {len(found.rates)}: {found.ended}" if found.ended else ""
    tested = f"{plural(found.steps, 'step')} of {plural(found.batch_size, 'image')} at {found.image_size} px{ended}"
    lines = [
        ("range", f"{found.rates[0]:.2g} to {found.rates[-1]:.2g}: {tested}"),
        ("loss", f"{found.losses[0]:.3g} at first, falls fastest at {read.steep:g}, lowest {min(found.smoothed):.3g} (smoothed)"),
        ("lr", f"{read.lr:g}, the middle of {read.low:g} to {read.high:g}, where the loss is near its lowest"),
    ]
    if found.still_falling:
        lines.append(("", "the loss was still falling at the last step: a test around a higher optim.lr may find a better rate"))
    return lines
