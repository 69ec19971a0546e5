"""The learning rate is a function of the step, and each schedule has its shape."""

from __future__ import annotations

from typing import Any

import pytest

from zoo.optim.schedules import Constant, Cosine, Linear, OneCycle, Step

# Steps of the run, and of an epoch.
STEPS = 200
PER_EPOCH = 20.0
SCHEDULES = {
    "cosine": Cosine(),
    "linear": Linear(),
    "one_cycle": OneCycle(),
    "step": Step(),
    "constant": Constant(),
}


def rates(schedule: Any, steps: int = STEPS) -> list[float]:
    return [schedule.lr_at(step, steps, PER_EPOCH) for step in range(steps)]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.5, 3.0, 10.0, 99.0])
def test_warm_up_is_a_straight_line_to_the_peak(name: str, warmup: float) -> None:
    schedule = SCHEDULES[name].model_copy(update={"warmup_epochs": warmup})
    found, length = rates(schedule), min(STEPS, round(warmup * PER_EPOCH))
    assert found[:length] == pytest.approx([(step + 1) / (length + 1) for step in range(length)])
    assert all(0 < rate <= 1 for rate in found)


@pytest.mark.parametrize("name", ["cosine", "linear", "step"])
def test_decay_goes_down_only(name: str) -> None:
    found = rates(SCHEDULES[name])[20:]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", ["cosine", "linear", "one_cycle"])
@pytest.mark.parametrize("final", [0.0, 0.2, 1.0])
def test_the_last_step_is_at_the_final_ratio(name: str, final: float) -> None:
    found = rates(SCHEDULES[name].model_copy(update={"final_lr_ratio": final}))
    assert found[-1] == pytest.approx(final, abs=0.005)
    assert found[-1] > 0


def test_each_schedule_has_its_shape() -> None:
    cosine, linear, cycle, step, constant = (
        rates(schedule.model_copy(update={"warmup_epochs": 0.0})) for schedule in SCHEDULES.values()
    )
    assert linear[100] == pytest.approx(0.505, abs=0.01)
    assert linear[50] - linear[60] == pytest.approx(linear[150] - linear[160])
    assert cosine[100] == pytest.approx(0.505, abs=0.01)
    assert cosine[50] > linear[50]
    assert cosine[150] < linear[150]
    assert cycle[0] == pytest.approx(0.04, abs=0.01)
    assert max(range(STEPS), key=cycle.__getitem__) in (59, 60)
    assert cycle[:60] == sorted(cycle[:60])
    assert cycle[60:] == sorted(cycle[60:], reverse=True)
    assert [step[n] for n in (0, 59, 60, 119, 120, 199)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001])
    assert set(constant) == {1.0}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_rate_depends_on_nothing_but_its_step(name: str) -> None:
    schedule = SCHEDULES[name]
    assert [schedule.lr_at(step, STEPS, PER_EPOCH) for step in reversed(range(STEPS))] == rates(schedule)[::-1]
    assert len(rates(schedule, 1)) == 1
