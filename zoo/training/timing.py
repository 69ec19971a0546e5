"""Time training steps and evaluation of a run that is set up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from accelerate.utils import broadcast_object_list
from torch import Tensor

from zoo.data.rng import epoch_order
from zoo.errors import ZooError
from zoo.system.device import synchronize
from zoo.training.evaluate import EvalBatches, evaluate, views_of
from zoo.training.loop import one_step, set_train_mode, use_stage
from zoo.training.state import EpochTotals, Training
from zoo.training.step import NoRoomForStep

# Steps that are timed at each image size, after a warm-up step.
STEPS = 2
# Most steps that are timed: of short ones, as many as take about `ENOUGH_SECONDS`.
MOST_STEPS = 12
# Seconds of timed steps that are enough for a size: single short steps differ by a third on a machine with other work.
ENOUGH_SECONDS = 1.0
# Evaluation batches that are timed, after a warm-up batch.
EVALUATION_BATCHES = 2
# Most steps of a run whose image sizes are looked up: the steps of a longer run are sampled.
SAMPLED_STEPS = 10_000


@dataclass(frozen=True)
class StepTimes:
    """The seconds of training steps, by the side of their images in pixels.

    Attributes:
        usual: of a usual step; for a run in stages, the mean over the run.
        first: of the first step at a size.
        stages: of a usual step in each stage of the run; empty for a run without stages.
    """

    usual: dict[int, float]
    first: dict[int, float]
    stages: tuple[dict[int, float], ...] = ()


def time_steps(training: Training, sizes: Sequence[int]) -> StepTimes:
    """Time training steps at the first, the middle and the last of a run's image sizes.

    Args:
        training: ready to train; the learning rate is 0, so that the weights do not change, but BatchNorm's statistics do.
        sizes: sides in pixels, ascending.
    """
    order = epoch_order(training.seed, 0, len(training.train))
    batches = np.array_split(order, training.steps_per_epoch)
    usual, first = {}, {}
    set_train_mode(training)
    # The largest last: its memory is the peak.
    for size in dict.fromkeys((sizes[0], sizes[len(sizes) // 2], sizes[-1])):
        still = replace(training, lr_at=lambda _step: 0.0, size_at=lambda _step, size=size: size)

        def step(number: int, still: Training = still) -> float:
            before = time.perf_counter()
            try:
                one_step(still, batches[number % len(batches)], number, EpochTotals())
            except NoRoomForStep as error:
                raise ZooError("train.batch_size", f"out of memory: {error}", "lower it, or image_size") from None
            synchronize(training.accelerator.device)
            return time.perf_counter() - before

        first[size] = step(0)
        seconds = [step(number) for number in range(1, 1 + STEPS)]
        more = min(MOST_STEPS, int(ENOUGH_SECONDS / min(seconds))) - STEPS
        # All processes take as many steps as the first one decides.
        seconds += [step(number) for number in range(1 + STEPS, 1 + STEPS + broadcast_object_list([more])[0])]
        usual[size] = float(np.mean(seconds))
    return StepTimes(usual, first)


def time_stages(training: Training, sizes: Sequence[int]) -> StepTimes:
    """Time training steps as `time_steps` does in each stage of a run; return means weighted by the stages' shares of the run."""
    stages = training.stages
    if stages is None:
        return time_steps(training, sizes)
    usual: dict[int, float] = {}
    first: dict[int, float] = {}
    found: list[dict[int, float]] = []
    # As a rule, the last stage trains the most parameters: its memory is the peak.
    for number in range(len(stages.parts)):
        use_stage(training, number)
        times, share = time_steps(training, sizes), stages.share(number)
        found.append(times.usual)
        for size in times.usual:
            usual[size] = usual.get(size, 0.0) + share * times.usual[size]
            first[size] = first.get(size, 0.0) + share * times.first[size]
    return StepTimes(usual, first, tuple(found))


def sampled(steps: int) -> list[int]:
    """Return the steps of a run; of a long run, evenly spaced ones."""
    return sorted({round(step) for step in np.linspace(0, steps - 1, min(steps, SAMPLED_STEPS))})


def mean_over_run(times: StepTimes, training: Training) -> float:
    """Return the mean seconds of a step over a run, interpolated between the timed image sizes by their number of pixels."""
    by_stage = times.stages or (times.usual,)

    def stage_at(step: int) -> int:
        """Return the stage of a step: images grow while stages change, so that their times must not be averaged apart."""
        return training.stages.at(step) if training.stages is not None and times.stages else 0

    def seconds(stage: int, size: int) -> float:
        """Return the seconds of a step in a stage at an image size."""
        return float(np.interp(size**2, [known**2 for known in by_stage[stage]], list(by_stage[stage].values())))

    counts = Counter((stage_at(step), training.size_at(step)) for step in sampled(training.steps))
    return float(np.average([seconds(*place) for place in counts], weights=list(counts.values())))


class _FirstOf:
    """The first images of a split, as `evaluate` takes them (`EvalBatches`)."""

    def __init__(self, batches: EvalBatches, count: int) -> None:
        self.batches = batches
        self.targets = batches.targets[:count]

    def __len__(self) -> int:
        return len(self.targets)

    def evaluation(self, positions: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """Return the images and targets of some positions."""
        return self.batches.evaluation(positions, size)


def time_evaluation(training: Training, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of evaluation per image, over all processes; 0 if there is nothing to evaluate.

    Args:
        training: ready to train; its model is in evaluation mode afterwards, and nothing else changes.
        clock: returns the seconds since a fixed moment.
    """
    # A head alone takes features, and test images become features only if they are scored in every epoch.
    test = training.test if training.head is None or training.test_every_epoch else None
    batches = training.val or test
    if batches is None:
        return 0.0
    accelerator, size = training.accelerator, training.eval_batch_size
    views, seconds, images = views_of(training, batches), 0.0, 1
    for number in (1, EVALUATION_BATCHES):
        images = min(len(batches), number * size * accelerator.num_processes)
        before = clock()
        evaluate(accelerator, training.eval_model, _FirstOf(batches, images), training.eval_size, size, views)
        synchronize(accelerator.device)
        seconds = clock() - before
    return seconds / images
