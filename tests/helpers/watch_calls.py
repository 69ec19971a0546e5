"""Functions that two processes call in tests of `StepWatch`: each asserts for itself, the first sends what both found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import gather_object
from torch import Tensor, nn

from helpers.process_calls import meet
from zoo.optim.build import build_optimizer
from zoo.optim.options import Optim
from zoo.system import signals
from zoo.system.launch import Launch
from zoo.training.averaging import WeightAverage
from zoo.training.step import losses, train_step
from zoo.training.watch import NonFiniteStep, StepWatch

Send = Callable[[dict[str, Any]], None]


class Replica:
    """This process's copy of a model in DistributedDataParallel, with an optimizer, a moving average and a watch."""

    def __init__(self, name: str, *, late: bool, scaler: torch.amp.GradScaler | None = None) -> None:
        torch.manual_seed(0)
        accelerator = Accelerator(cpu=True)
        accelerator.scaler = scaler
        self.bare = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        optimizer = build_optimizer(Optim(name=name, lr=0.1), self.bare)
        self.model = accelerator.prepare(self.bare)
        self.optimizer = AcceleratedOptimizer(optimizer, scaler=scaler)
        self.watch = StepWatch(accelerator, self.optimizer, late=late)
        self.averaged = WeightAverage(self.bare, 0.9)

    def step(self, number: int, *, scale: float = 1.0) -> None:
        """Take a step on this process's own images; multiply its gradient by `scale`."""
        rank = self.watch.accelerator.process_index
        generator = torch.Generator().manual_seed(10 * number + rank)
        images, targets = torch.randn(5, 4, generator=generator), torch.randint(3, (5,), generator=generator)
        self.watch.step = number
        train_step(
            self.model, [(images, targets)], self.optimizer, watch=self.watch, parts=1, total=10, lr=0.1,
            # Only the gradient is scaled, so that the loss stays finite.
            loss_fn=lambda logits, targets: losses(_Scaled.apply(logits, scale), targets, 0.0, None),
        )  # fmt: skip
        self.averaged.follow(self.bare, number, self.watch.open)

    def numbers(self) -> list[list[float]]:
        """Return the weights, their average and the optimizer's state."""
        state = [value for values in self.optimizer.optimizer.state.values() for value in values.values()]
        tensors = [*self.bare.parameters(), *self.averaged.module.parameters(), *state]
        return [tensor.detach().double().flatten().tolist() for tensor in tensors if isinstance(tensor, Tensor)]


class _Scaled(torch.autograd.Function):
    """The identity, except that its gradient is multiplied by a number."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient * ctx.scale, None


def one_gradient_is_not_finite(arguments: Mapping[str, Any], send: Send) -> None:
    """Check that both processes report a gradient that is not finite on the second one only, and change nothing."""
    start = meet()
    send({name: [_failed_step(start, name, late=late) for late in ways] for name, ways in arguments["cases"].items()})


def _failed_step(start: Launch, name: str, *, late: bool) -> int:
    """Return the step that both processes report as not finite."""
    replica = Replica(name, late=late)
    for number in range(3):
        replica.step(number)
    before = replica.numbers()
    failed = -1
    try:
        replica.step(3, scale=1.0 if start.main else float("nan"))
        replica.step(4)
    except NonFiniteStep as error:
        failed = error.step
    assert replica.numbers() == before
    everybody = gather_object([(failed, before)])
    assert everybody[0] == everybody[1]
    return failed


def one_process_is_asked_to_stop(arguments: Mapping[str, Any], send: Send) -> None:
    """Check that both processes know of a signal to the second one after the same step."""
    start = meet()
    send({"late": _known_after(start, late=True), "at once": _known_after(start, late=False)})


def _known_after(start: Launch, *, late: bool) -> int:
    """Return the step after which both processes know of the signal."""
    replica = Replica("adamw", late=late)
    known = []
    for number in range(4):
        signals.requested = lambda number=number: "SIGTERM" if number == 1 and not start.main else None
        replica.step(number)
        known.append(replica.watch.stopping)
    everybody = gather_object([known])
    assert everybody[0] == everybody[1]
    return known.index(True)


def scaled_gradients_overflow(arguments: Mapping[str, Any], send: Send) -> None:
    """Check that both processes skip a step and lower their scale if a scaled gradient overflows on the second one only."""
    start = meet()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    replica = Replica("adamw", late=False, scaler=scaler)
    skipped, scales = [], []
    for number in range(4):
        before = replica.numbers()
        replica.step(number, scale=float("inf") if number in (1, 2) and not start.main else 1.0)
        skipped.append(replica.watch.take_skipped())
        # Only the weights are compared: the average moves towards them in a skipped step too.
        same = replica.numbers()[:4] == before[:4]
        assert same == bool(skipped[-1])
        scales.append(scaler.get_scale())
    everybody = gather_object([(skipped, scales, replica.numbers())])
    assert everybody[0] == everybody[1]
    send({"skipped": skipped, "scales": scales})
