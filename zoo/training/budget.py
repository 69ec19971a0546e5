"""Plan how many steps fit into a given time (`train.max_minutes`), and plan again as the speed changes.

The learning rate and the image size follow the plan, so that a run reaches the end of its schedule when its time is up.
A plan is a few numbers that a checkpoint keeps, so that everything in a step is still a function of its number.
"""

from __future__ import annotations

import bisect
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from accelerate.utils import broadcast_object_list

from zoo.errors import ZooError

# Planned steps before any step was timed: large enough that the first steps count as the start of the schedule.
UNKNOWN_STEPS = 10**6
# A plan is made after each of these first steps, and then once every 1 / `PLANS` of the run.
FIRST_PLANS = (2, 4, 8, 16, 32)
PLANS = 100
# Recent steps whose median pace is the speed.
RECENT = 16
# A plan is kept if a new one would end earlier or later by less than this share of the run's time.
TOLERANCE = 0.01
# Time to evaluate an image as a share of the time to train on it, until an evaluation was timed.
EVALUATION = 0.4
# Seconds at the end of a run besides evaluation: pictures, tables, the model's folder. Measured: 2 to 4 on 2 cores.
FINISH_SECONDS = 3.0
# Points in the rest of a run at which the image size is looked up.
SAMPLES = 64


@dataclass(frozen=True)
class Leg:
    """A part of a plan: the number of steps of the run, as planned from a certain step on.

    Attributes:
        step: the first step of the part.
        place: place of this step in a run of `steps` steps.
        steps: steps of the whole run.
    """

    step: int
    place: float
    steps: int


@dataclass
class StepPlan:
    """The steps of a run, and the place of each in its schedule.

    A run with a given number of epochs has one leg; a run with a given time has a leg for each plan that was made.
    """

    legs: list[Leg]

    @classmethod
    def of(cls, steps: int) -> StepPlan:
        """Return the plan of a run with a fixed number of steps."""
        return cls([Leg(0, 0, steps)])

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.legs[-1].steps

    def place(self, step: int) -> float:
        """Return the place of a step in a run of `self.steps` steps; with a single leg, the step itself."""
        leg = next((leg for leg in reversed(self.legs) if leg.step <= step), self.legs[0])
        place = leg.place + (leg.steps - leg.place) * (step - leg.step) / max(1, leg.steps - leg.step)
        return place * (self.steps / leg.steps) if leg is not self.legs[-1] else place

    def change(self, step: int, steps: int) -> None:
        """Change the run's number of steps from a step on; this step stays at the same share of the schedule."""
        place = self.place(step) / self.steps * steps
        self.legs = [*(leg for leg in self.legs if leg.step < step), Leg(step, place, steps)]

    def record(self) -> list[dict[str, Any]]:
        """Return the legs as plain values."""
        return [asdict(leg) for leg in self.legs]

    def restore(self, legs: list[dict[str, Any]]) -> None:
        """Restore the legs that `record` returned."""
        self.legs = [Leg(**leg) for leg in legs]


@dataclass
class Pauses:
    """The time that epochs take besides their steps and their evaluation, mostly for checkpoints.

    Attributes:
        total: seconds of all epochs so far.
        epochs: number of these epochs.
        longest: seconds of the one that took longest. The last epoch of a run always has a checkpoint.
    """

    total: float = 0.0
    epochs: int = 0
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count an epoch."""
        self.total, self.epochs, self.longest = self.total + seconds, self.epochs + 1, max(self.longest, seconds)

    @property
    def mean(self) -> float:
        """Seconds of an epoch on average: epochs with and without a checkpoint may alternate."""
        return self.total / max(1, self.epochs)


@dataclass
class Budget:
    """The time of a run, and its speed so far.

    Attributes:
        seconds: time of the whole run: set-up, training, evaluation, files.
        began: start of the run by `clock`; for a resumed run, as if it had not been interrupted.
        plan: the steps of the run; this class changes them.
        steps_per_epoch: steps of an epoch.
        evaluates_every: steps between two evaluations, a multiple of `steps_per_epoch`.
        batch_size: images of a step.
        evaluated: number of images of each evaluation, and number of images scored at the end of the run.
        sides: returns the image size in pixels at a share of the schedule, from 0 to 1.
        clock: returns the seconds since a fixed moment.
        closed: whether the last step was taken, after which the plan does not change.
        views: forward passes per evaluated image.
        per_image_at_end: seconds to score an image at the end, None if it takes as long as during training.
    """

    seconds: float
    began: float
    plan: StepPlan
    steps_per_epoch: int
    evaluates_every: int
    batch_size: int
    evaluated: tuple[int, int]
    sides: Callable[[float], int]
    clock: Callable[[], float] = time.perf_counter
    closed: bool = False
    views: int = 1
    per_image_at_end: float | None = None
    _taken: int = 0
    _planned: int = 0
    _paces: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _per_image: float | None = None
    _pauses: Pauses = field(default_factory=Pauses)

    @property
    def spent(self) -> float:
        """Seconds since the run began, without interruptions."""
        return self.clock() - self.began

    def record(self) -> dict[str, Any]:
        """Return the times that a checkpoint keeps, as plain values."""
        pace = statistics.median(self._paces) if self._paces else None
        times = {"seconds": self.seconds, "spent": self.spent, "pace": pace}
        return {**times, "per_image": self._per_image, "pauses": asdict(self._pauses)}

    def resume(self, step: int, legs: list[dict[str, Any]], known: dict[str, Any]) -> None:
        """Continue the plan of a run; the time since it was interrupted does not count.

        Args:
            step: steps taken.
            legs: what `StepPlan.record` returned.
            known: what `record` returned.
        """
        self.began -= known["spent"]
        # Earlier versions of zoo did not keep the pauses.
        self._per_image, self._pauses = known["per_image"], Pauses(**known.get("pauses", {}))
        self.plan.restore(legs)
        if known["seconds"] == self.seconds:
            self.closed = self.plan.steps <= step
        elif step:
            # With another time, the run is at the place in the schedule where it would be with this time from the start.
            self.plan.restore([asdict(Leg(0, 0, max(step + 1, int(step * self.seconds / known["spent"]))))])
        if known["pace"] is not None:
            self._paces.append(known["pace"])
            self.plan_again(step, evaluated=True, least=1)

    def check(self) -> None:
        """Check that there is time left to train.

        Raises:
            ZooError: the set-up alone took all of the time.
        """
        if self.spent >= self.seconds:
            what = f"{self.seconds / 60:g} minutes are over before the first step: the set-up took {self.spent:.0f} s"
            raise ZooError("train.max_minutes", what, "raise it; images are decoded only once")

    def after_step(self, step: int, seconds: float, side: int) -> None:
        """Record the time of a step, and plan again if that is due.

        Args:
            step: steps taken, including those before an interruption.
            seconds: time of the last step.
            side: side of its images in pixels.
        """
        self._taken += 1
        if self._taken == 2:
            # The first step of a process allocates memory and chooses kernels.
            self._paces.pop()
        self._paces.append(seconds / side**2)
        if self._taken in FIRST_PLANS or step - self._planned >= max(1, self.plan.steps // PLANS):
            self.plan_again(step, evaluated=False)

    def after_evaluation(self, images: int, seconds: float) -> None:
        """Record the time of evaluating some images."""
        if images:
            self._per_image = seconds / images

    def before_training(self, time_evaluation: Callable[[Callable[[], float]], float]) -> None:
        """Time an evaluation, because a run of one epoch would otherwise know its time too late to plan for it.

        Args:
            time_evaluation: returns the seconds per image, measured with the clock that it is given.
        """
        if self._per_image is None:
            self._per_image = time_evaluation(self.clock) or None

    def after_epoch(self, step: int, seconds: float) -> None:
        """Record the time of an epoch besides its steps and its evaluation, and plan again.

        Args:
            step: steps taken.
            seconds: time of everything after the evaluation, such as a checkpoint.
        """
        self._pauses.add(seconds)
        self.plan_again(step, evaluated=True, least=1)

    def assume(self, pace: float, per_image: float, pauses: Pauses) -> None:
        """Use timings measured elsewhere, and plan with them.

        Args:
            pace: seconds of a step per pixel of an image's area.
            per_image: seconds to evaluate an image.
            pauses: of the epochs.
        """
        self._paces.extend([pace] * RECENT)
        self._per_image, self._pauses = per_image, pauses
        self.plan_again(0, evaluated=True)

    def plan_again(self, step: int, *, evaluated: bool, least: int = 0) -> None:
        """Choose the number of steps of the whole run from the time left; all processes use the result of the first one.

        Args:
            step: steps taken.
            evaluated: whether the epoch that ended with the last step, if one did, has been evaluated.
            least: fewest steps that must follow: 1 if the run cannot end here, because its last epoch must be evaluated.
        """
        if self.closed:
            return
        self._planned = step
        steps, per_step = self._fitting(step, evaluated=evaluated)
        # The very first step takes longer, and tells little about the speed.
        steps = max(steps, FIRST_PLANS[0], step + least)
        if step > FIRST_PLANS[0] and abs(steps - self.plan.steps) * per_step < TOLERANCE * self.seconds:
            steps = self.plan.steps
        steps = broadcast_object_list([steps])[0]
        if steps != self.plan.steps:
            self.plan.change(step, steps)

    def _fitting(self, step: int, *, evaluated: bool) -> tuple[int, float]:
        """Return the steps of the whole run that fit into its time, at least `step`, and the seconds of each remaining step."""
        # In seconds per pixel of an image's area.
        pace = statistics.median(self._paces)
        share = self.plan.place(step) / self.plan.steps
        places = [share + (1 - share) * (sample + 0.5) / SAMPLES for sample in range(SAMPLES)]
        per_step = pace * statistics.fmean(self.sides(place) ** 2 for place in places)
        val, at_end = self.evaluated
        per_image = self._per_image
        if per_image is None:
            per_image = self.views * EVALUATION * pace * self.sides(1.0) ** 2 / self.batch_size
        finish = (per_image if self.per_image_at_end is None else self.per_image_at_end) * at_end + FINISH_SECONDS
        left = self.seconds - self.spent - per_image * val - finish - self._pauses.longest

        def ends(more: int, every: int) -> int:
            """Count multiples of `every` in the next `more` steps but the last, counted above; also `step` if not evaluated."""
            return max(0, (step + more - 1) // every - (step - (not evaluated)) // every)

        def takes(more: int) -> float:
            """Return the seconds of `more` steps, with the evaluations and pauses between them."""
            pauses = ends(more, self.evaluates_every) * per_image * val + ends(more, self.steps_per_epoch) * self._pauses.mean
            return more * per_step + pauses

        # Slightly more than the time left, because sums of times are rounded.
        within = left + 1e-6 * per_step
        more = bisect.bisect_right(range(max(0, int(within / per_step)) + 1), within, key=takes) - 1
        return step + max(0, more), per_step
