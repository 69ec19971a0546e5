"""Steps that are checked at once or one step late have the same bits, and a step that is not finite changes nothing."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from helpers.pairs import call_on_two
from helpers.tensors import same_tensors
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.errors import NonFiniteLoss
from zoo.optim.build import build_optimizer
from zoo.optim.options import Optim
from zoo.system import signals
from zoo.training.averaging import WeightAverage
from zoo.training.step import losses, train_step
from zoo.training.watch import NonFiniteStep, StepWatch, can_be_shut

FUSED = ["adam", "adamw", "nesterov", "sgd", "momentum"]


class Small:
    """A model that is trained for a few steps."""

    def __init__(self, name: str, *, late: bool) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        self.optimizer = build_optimizer(Optim(name=name, lr=0.1), self.model)
        self.watch = StepWatch(Accelerator(cpu=True), self.optimizer, late=late)
        self.averaged = WeightAverage(self.model, 0.9)

    def step(self, number: int, *, broken: bool = False) -> None:
        generator = torch.Generator().manual_seed(number)
        images, targets = torch.randn(5, 4, generator=generator), torch.randint(3, (5,), generator=generator)
        handle = self.model[0].weight.register_hook(lambda gradient: gradient * float("nan")) if broken else None
        self.watch.step = number
        try:
            train_step(
                self.model, [(images, targets)], self.optimizer, watch=self.watch, parts=1, total=5, lr=0.1,
                loss_fn=lambda logits, targets: losses(logits, targets, 0.0, None),
            )  # fmt: skip
            self.averaged.follow(self.model, number, self.watch.open)
        finally:
            if handle:
                handle.remove()

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor that a step changes: weights, moments, step counts, averages."""
        found = {f"model.{name}": value.clone() for name, value in self.model.state_dict().items()}
        found |= {f"average.{name}": value.clone() for name, value in self.averaged.module.state_dict().items()}
        state: dict[int, dict[str, Any]] = self.optimizer.state_dict()["state"]
        for number, values in state.items():
            found |= {f"{number}.{name}": value.clone() for name, value in values.items() if isinstance(value, Tensor)}
        return found


@pytest.mark.parametrize("name", FUSED)
def test_late_and_at_once_give_the_same_bits(name: str) -> None:
    late, at_once = Small(name, late=True), Small(name, late=False)
    for number in range(6):
        late.step(number)
        at_once.step(number)
    late.watch.settle()
    assert same_tensors(late.tensors(), at_once.tensors())


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("late", [True, False])
def test_a_gradient_that_is_not_finite_changes_nothing(name: str, late: bool) -> None:
    small = Small(name, late=late)
    for number in range(3):
        small.step(number)
    before = small.tensors()
    with pytest.raises(NonFiniteStep, match=r"loss .*, gradient norm nan") as failed:
        small.step(3, broken=True)
        # With `late`, the next step, which is finite, begins before the broken one is read.
        small.step(4)
    assert (failed.value.step, failed.value.exit_code) == (3, 4)
    assert same_tensors(small.tensors(), before)


def test_the_last_step_is_read_before_anything_is_saved() -> None:
    small = Small("adamw", late=True)
    small.step(0, broken=True)
    with pytest.raises(NonFiniteLoss, match=r"^step 1: "):
        small.watch.settle()
    small.watch.settle()


def test_every_optimizer_that_is_built_fused_can_be_shut() -> None:
    model = nn.Linear(2, 2)
    assert all(can_be_shut(build_optimizer(Optim(name=name), model)) for name in FUSED)
    assert not can_be_shut(build_optimizer(Optim(name="lamb"), model))


@pytest.mark.parametrize(("late", "after"), [(True, [False, True]), (False, [True, True])])
def test_a_signal_is_known_at_once_or_after_the_next_step(late: bool, after: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    small = Small("sgd", late=late)
    monkeypatch.setattr(signals, "requested", lambda: "SIGTERM")
    found = []
    for number in range(2):
        small.step(number)
        found.append(small.watch.stopping)
    assert found == after


class Asking(TorchDispatchMode):
    """Count how often the value of a tensor is read: each time, the CPU would wait for a GPU."""

    asked = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.asked += func.overloadpacket.__name__ in ("_local_scalar_dense", "is_nonzero", "nonzero")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", FUSED)
def test_a_late_step_asks_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Small(name, late=True)
    # Leave out the one late read: its numbers are on the CPU already.
    monkeypatch.setattr(small.watch, "_read", lambda pending: None)
    for number in range(2):
        with Asking() as asking:
            small.step(number)
        assert asking.asked == 0
    at_once = Small(name, late=False)
    with Asking() as asking:
        at_once.watch._shut.item()
    assert asking.asked == 1, "asking is counted"


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(NonFiniteStep(6, "loss nan")))
    assert (error.step, str(error)) == (6, "step 7: loss nan")


# ------------------------------------------------------------------- two processes, on a CPU


@pytest.mark.slow
def test_what_is_not_finite_on_one_process_changes_nothing_on_any() -> None:
    cases = {**dict.fromkeys(FUSED, (True, False)), "lamb": (False,)}
    found = call_on_two("helpers.watch_calls:one_gradient_is_not_finite", cases=cases)
    assert found == {name: [3] * len(ways) for name, ways in cases.items()}


@pytest.mark.slow
def test_a_signal_to_one_process_is_known_to_all_after_the_same_step() -> None:
    assert call_on_two("helpers.watch_calls:one_process_is_asked_to_stop") == {"late": 2, "at once": 1}


@pytest.mark.slow
def test_a_scaled_gradient_that_overflows_on_one_process_is_skipped_on_all() -> None:
    found = call_on_two("helpers.watch_calls:scaled_gradients_overflow")
    assert found == {"skipped": [0, 1, 1, 0], "scales": [1024.0, 512.0, 256.0, 256.0]}
