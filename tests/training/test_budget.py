"""Runs with a given time: plans of their steps on a simulated clock, and real runs that keep the time."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.recipes import GOOD, load
from helpers.runs import history, run, same

from zoo.errors import ZooError
from zoo.optim.schedules import OneCycle
from zoo.recipe.load import load_recipe
from zoo.recipe.sections import ImageSize
from zoo.training import assemble, checkpoint, loop
from zoo.training.budget import UNKNOWN_STEPS, Budget, StepPlan
from zoo.training.run import train

# Seconds of a step per pixel of an image's area: a step at 64 px takes 0.1 s.
PACE = 0.1 / 64**2


def test_a_plan_of_epochs_is_the_step_itself() -> None:
    plan = StepPlan.of(37)
    assert [plan.place(step) for step in range(37)] == list(range(37))
    assert plan.steps == 37


def test_a_changed_plan_goes_on_from_the_same_share_and_comes_to_its_end() -> None:
    plan, schedule = StepPlan.of(100), OneCycle()
    for step, steps in ((10, 60), (30, 200), (150, 160)):
        before = plan.place(step) / plan.steps
        done = [plan.place(earlier) / plan.steps for earlier in range(step)]
        plan.change(step, steps)
        assert plan.place(step) / plan.steps == pytest.approx(before)
        # Earlier steps keep their share of the schedule.
        assert [plan.place(earlier) / plan.steps for earlier in range(step)] == pytest.approx(done)
    shares = [plan.place(step) / plan.steps for step in range(160)]
    assert shares == sorted(shares)
    last = schedule.lr_at(plan.place(159), plan.steps, 10)
    assert last == pytest.approx(schedule.final_lr_ratio, rel=0.2)
    again = StepPlan.of(1)
    again.restore(plan.record())
    assert again == plan


class Clock:
    """A clock whose time the tests set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def simulated(
    seconds: float,
    slowness: Callable[[float], float],
    *,
    start: float = 4.0,
    every: int = 1,
    pauses: tuple[float, ...] = (0.3,),
    sides: ImageSize,
) -> float:
    """Run a budget on a simulated machine; return the second at which the run ends.

    Args:
        seconds: time of the whole run.
        slowness: returns how many times slower the machine is at a given second.
        start: seconds before the first step.
        every: epochs between two evaluations.
        pauses: seconds that epochs take besides steps and evaluation, in turn; the last epoch takes the longest.
        sides: the image sizes.
    """
    clock = Clock()
    plan, per_epoch, val, test = StepPlan.of(UNKNOWN_STEPS), 50, 320, 1000

    def side(share: float) -> int:
        return sides.at(share * UNKNOWN_STEPS, UNKNOWN_STEPS)

    budget = Budget(seconds, 0.0, plan, per_epoch, per_epoch * every, 32, (val, val + test), side, clock)
    clock.now = start
    budget.check()
    # A pixel of a larger image takes a little less time, and evaluation takes a third of the time of training.
    forward = PACE * side(1.0) ** 2 / 32 / 3
    step = 0
    while step < plan.steps:
        at = side(plan.place(step) / plan.steps)
        took = PACE * 64 * at**2 / (64 + 0.2 * (at - 64)) * slowness(clock.now) * (8 if step == 0 else 1)
        clock.now += took
        step += 1
        budget.after_step(step, took, at)
        if step % per_epoch == 0 and step < plan.steps:
            evaluation = val * forward * slowness(clock.now) * (step % (per_epoch * every) == 0)
            pause = pauses[step // per_epoch % len(pauses)]
            clock.now += evaluation + pause
            budget.after_evaluation(val * (evaluation > 0), evaluation)
            budget.after_epoch(step, pause)
    clock.now += max(pauses)
    return clock.now + (2 * val + test) * forward * slowness(clock.now) + 2.5


SLOWNESS = {
    "steady": lambda now: 1.0,
    "half as fast from a third on": lambda now: 1.0 if now < 40 else 2.0,
    "twice as fast from a third on": lambda now: 1.0 if now < 40 else 0.5,
    "slow for half a minute": lambda now: 2.0 if 50 < now < 80 else 1.0,
    "noisy": lambda now: float(np.exp(np.random.default_rng(int(now * 1000)).normal(0, 0.3))),
}


@pytest.mark.parametrize("name", SLOWNESS)
@pytest.mark.parametrize("sides", [ImageSize(start=64, end=64), ImageSize(start=64, end=128)])
def test_a_run_ends_when_its_time_is_over(name: str, sides: ImageSize) -> None:
    ends = simulated(120, SLOWNESS[name], sides=sides)
    assert abs(ends - 120) <= 0.05 * 120


def test_no_time_is_kept_for_evaluations_that_do_not_come() -> None:
    # The run is evaluated only at its end. Evaluations after each epoch would take 4 to 5 s in all: if time were kept for them,
    # the run would end too early.
    for seconds in range(60, 80):
        ends = simulated(seconds, SLOWNESS["steady"], every=1000, sides=ImageSize(start=64, end=64))
        assert abs(ends - seconds) <= 0.02 * seconds, seconds


def test_what_an_epoch_takes_besides_its_steps_may_be_more_than_they_take() -> None:
    # The steps of an epoch take 5 s, its pause 8 s.
    for seconds in range(100, 130):
        ends = simulated(seconds, SLOWNESS["steady"], pauses=(8,), sides=ImageSize(start=64, end=64))
        # A run ends early if there is no time for the pause before the next epoch.
        assert -10 <= ends - seconds <= 1, seconds


def test_a_checkpoint_in_every_other_epoch_does_not_swing_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[int] = []
    change = StepPlan.change

    def noted(self: StepPlan, step: int, steps: int) -> None:
        plans.append(steps)
        change(self, step, steps)

    monkeypatch.setattr(StepPlan, "change", noted)
    ends = simulated(600, SLOWNESS["steady"], pauses=(0.02, 8), sides=ImageSize(start=64, end=64))
    assert abs(ends - 600) <= 0.02 * 600
    settled = plans[len(plans) // 2 :]
    assert max(settled) <= 1.1 * min(settled), plans


def test_a_plan_that_stays_as_it_is_is_not_made_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    plan_again = Budget.plan_again

    def counted(self: Budget, step: int, **others: Any) -> None:
        made.append(step)
        plan_again(self, step, **others)

    monkeypatch.setattr(Budget, "plan_again", counted)
    simulated(120, SLOWNESS["steady"], sides=ImageSize(start=64, end=64))
    # About 1,000 steps in 20 epochs.
    assert 100 <= len(made) <= 150


def test_a_checkpoint_without_pauses_is_resumed() -> None:
    def budget() -> Budget:
        sides = ImageSize(start=64, end=64)
        return Budget(120, 0.0, StepPlan.of(1000), 50, 50, 32, (320, 1320), lambda share: sides.at(share, 1), Clock())

    known = {
        "seconds": 120,
        "spent": 30.0,
        "pace": PACE,
        "per_image": 1e-3,
        "pauses": {"total": 8.0, "epochs": 2, "longest": 5.0},
    }
    legs = StepPlan.of(1000).record()
    whole, older = budget(), budget()
    whole.resume(200, legs, known)
    older.resume(200, legs, {key: value for key, value in known.items() if key != "pauses"})
    assert 200 < whole.plan.steps < older.plan.steps


def test_a_start_that_takes_all_of_the_time_is_one_line() -> None:
    with pytest.raises(ZooError, match=r"^train\.max_minutes: 2 minutes are over before the first step: .* 130 s"):
        simulated(120, SLOWNESS["steady"], start=130, sides=ImageSize(start=64, end=64))


def test_less_time_than_a_step_takes_is_one_step() -> None:
    assert simulated(8, SLOWNESS["steady"], sides=ImageSize(start=64, end=64)) < 12


# ------------------------------------------------------------------------------------------- real runs

# Seconds of each step on the clock of the runs below, however long it really takes.
STEP = 0.05


class Steady(Budget):
    """A budget on a clock that only steps move, so that a run is the same each time."""

    def after_step(self, step: int, seconds: float, side: int) -> None:
        """Move the clock by a step."""
        clock.now += STEP
        super().after_step(step, STEP, side)

    def after_evaluation(self, images: int, seconds: float) -> None:
        """Take no time for evaluation."""
        super().after_evaluation(images, 0.0)

    def after_epoch(self, step: int, seconds: float) -> None:
        """Take no time for an epoch."""
        super().after_epoch(step, 0.0)


clock = Clock()


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.now = 0.0
    monkeypatch.setattr(assemble, "Budget", functools.partial(Steady, clock=clock))
    monkeypatch.setattr(assemble, "time", clock_module())


def clock_module() -> object:
    """Return a stand-in for the module `time` in `assemble.py`."""

    class Time:
        perf_counter = staticmethod(lambda: clock.now)

    return Time


# 4.8 s, of which 3 s are kept for the end of the run: 36 steps, 18 in each epoch.
MINUTES = "train.max_minutes=0.08"


def train_steadily(path: Path, *overrides: str, resume: Path | None = None, until_epoch: int | None = None) -> Path:
    return train(load_recipe(path, [MINUTES, *overrides]), resume, until_epoch=until_epoch, began=clock.now)


def test_a_run_takes_the_steps_that_its_time_allows_and_ends_its_schedule(tiny: Path, steady: None) -> None:
    folder = train_steadily(tiny, "schedule=one_cycle")
    rows = history(folder)
    assert 30 <= rows[-1]["step"] <= 36
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert "val.accuracy" in rows[-1]
    assert rows[-1]["lr"] <= 0.03 * 2e-3
    recipe = (folder / "recipe.yaml").read_text(encoding="utf-8")
    assert "max_minutes: 0.08" in recipe


def test_time_is_kept_for_the_evaluations_that_come(tiny: Path, steady: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def budget(*, evaluates_every: int, **others: Any) -> Steady:
        found.append(evaluates_every)
        return Steady(evaluates_every=evaluates_every, clock=clock, **others)

    monkeypatch.setattr(assemble, "Budget", budget)
    folder = train_steadily(tiny, "eval.every_epochs=2", "train.max_minutes=0.12")
    # Two epochs of 18 steps.
    assert found == [36]
    assert ["val.accuracy" in row for row in history(folder)][:4] == [False, True, False, True]


@pytest.mark.parametrize("every", [False, True])
def test_time_is_kept_for_test_images_where_they_are_scored(
    every: bool, tiny: Path, steady: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[int, int]] = []

    def budget(*, evaluated: tuple[int, int], **others: Any) -> Steady:
        found.append(evaluated)
        return Steady(evaluated=evaluated, clock=clock, **others)

    monkeypatch.setattr(assemble, "Budget", budget)
    train_steadily(tiny, f"eval.test_every_epoch={str(every).lower()}")
    ((each, at_end),) = found
    val, test = 16, 30
    assert (each, at_end) == (val + test * every, test)


def test_paused_and_resumed_it_has_the_same_bits(tiny: Path, steady: None) -> None:
    whole = train_steadily(tiny, "name=whole")
    clock.now = 0.0
    paused = train_steadily(tiny, "name=paused", until_epoch=1)
    # The hour between pause and resume does not count.
    clock.now += 3600.0
    assert train_steadily(tiny, "name=paused", resume=paused) == paused
    strip = [{key: row[key] for key in ("step", "lr", "train.loss", "val.loss")} for row in history(whole)]
    assert strip == [{key: row[key] for key in ("step", "lr", "train.loss", "val.loss")} for row in history(paused)]
    assert same(whole, paused)
    place, newest, _ = checkpoint.newest(paused / "checkpoints")
    assert newest.state["plan"][-1]["steps"] == newest.state["step"]
    # Resuming a finished run changes nothing.
    before = place.stat().st_mtime_ns
    train_steadily(tiny, "name=paused", resume=paused)
    assert place.stat().st_mtime_ns == before


def test_more_minutes_train_a_finished_run_longer_with_the_schedule_of_the_longer_run(tiny: Path, steady: None) -> None:
    folder = train(load_recipe(tiny, ["train.max_minutes=0.073"]), began=clock.now)
    before = history(folder)
    # Its last epoch was cut short.
    assert before[-1]["step"] % 18
    train(load_recipe(tiny, ["train.max_minutes=0.15"]), folder, allow_change=True, began=clock.now)
    rows = history(folder)
    assert rows[: len(before) - 1] == before[:-1]
    assert rows[-1]["step"] > 1.5 * before[-1]["step"]
    assert rows[len(before) - 1]["lr"] > 2 * before[-1]["lr"]
    assert rows[-1]["lr"] <= 0.03 * 2e-3
    # The epoch continued where it was cut short: each of its images counts once.
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["step"] for row in rows[:-1]] == [18 * epoch for epoch in range(1, len(rows))]
    assert all(0 <= row["train.accuracy"] <= 1 for row in rows)
    assert json.loads((folder / "result.json").read_text())["steps"] == rows[-1]["step"]


def test_the_selected_epoch_keeps_its_checkpoint_when_an_earlier_one_was_better(
    tiny: Path, steady: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores rise until the first time is over and fall afterwards, so no later epoch reaches those of the first part."""
    falls = False
    evaluate = loop.epoch_row

    def scored(*arguments: Any) -> dict[str, Any]:
        row = evaluate(*arguments)
        return row | {"val.accuracy": 0.5 - row["epoch"] / 100 if falls else 0.9 + row["epoch"] / 100}

    monkeypatch.setattr(loop, "epoch_row", scored)
    shown = ["output.keep_last=1", "output.keep_best=1", "eval.every_epochs=1"]
    folder = train(load_recipe(tiny, ["train.max_minutes=0.073", *shown]), began=clock.now)
    first, falls = len(history(folder)), True
    assert first > 1
    train(load_recipe(tiny, ["train.max_minutes=0.15", *shown]), folder, allow_change=True, began=clock.now)
    result = json.loads((folder / "result.json").read_text())
    assert len(history(folder)) > first
    assert result["selected_epoch"] == first


@pytest.mark.parametrize("evaluation", [0.01, 10.0])
@pytest.mark.parametrize("minutes", [0.06, 0.1])
def test_a_run_is_finished_whatever_its_last_evaluation_takes(
    tiny: Path, steady: None, monkeypatch: pytest.MonkeyPatch, evaluation: float, minutes: float
) -> None:
    first = [True]

    def after_evaluation(self: Budget, images: int, seconds: float) -> None:
        # Each evaluation is planned to take as long as the first one, but the later ones are faster.
        clock.now += evaluation if first.pop() else 0.001
        first.append(False)
        Budget.after_evaluation(self, images, evaluation)

    monkeypatch.setattr(Steady, "after_evaluation", after_evaluation)
    folder = train(load_recipe(tiny, [f"train.max_minutes={minutes + evaluation / 60}"]), began=clock.now)
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["steps"]) == ("done", history(folder)[-1]["step"])
    assert "val.accuracy" in history(folder)[-1]


def test_a_run_that_lacks_its_result_alone_is_finished_after_its_time(tiny: Path, steady: None) -> None:
    folder = train_steadily(tiny)
    (folder / "result.json").unlink()
    # The start of the process takes longer than the time of the run.
    began, clock.now = clock.now, clock.now + 60
    train(load_recipe(tiny, [MINUTES]), folder, began=began)
    assert (folder / "result.json").is_file()


def test_where_the_start_takes_all_of_the_time_nothing_is_written(tiny: Path, tmp_path: Path, steady: None) -> None:
    clock.now = 60.0
    with pytest.raises(ZooError, match=r"^train\.max_minutes: 0\.08 minutes are over"):
        train(load_recipe(tiny, [MINUTES]), began=0.0)
    assert list((tmp_path / "runs").glob("*")) == []


def test_a_time_does_not_take_the_place_of_epochs_within_a_run(tiny: Path, steady: None) -> None:
    folder, _ = run(tiny, "train.epochs=1")
    with pytest.raises(ZooError, match=r"recipe differs: train\.max_minutes null -> 5.* \(these cannot change within a run"):
        train(load_recipe(tiny, ["train.max_minutes=5"]), folder, allow_change=True)


def test_a_time_takes_the_place_of_epochs(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD, "train.max_minutes=10", "train.epochs=3").train.max_minutes == 10
