"""Watch each step: whether its loss and gradient are finite, and whether a signal asks the run to stop.

On a CPU, this is known at once. A GPU is asked one step late, so that it never waits: as soon as something is not finite,
updates are shut off on the device and stay shut off, so that the next step changes nothing either. All numbers of a step take
one reduction over the processes and one copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from zoo.errors import NonFiniteLoss
from zoo.system import signals

# Steps in a row that fp16's scaler may skip: a new run starts with a scale that is too large and skips a few.
MOST_SKIPPED = 20


@dataclass(frozen=True)
class _Pending:
    """The numbers of a step that have not been read yet.

    Attributes:
        step: its number, from 0.
        numbers: float64 [3]: loss, gradient norm, and how many processes were asked to stop.
        ready: CUDA event after which the numbers are on the CPU; None if they can be read at once.
    """

    step: int
    numbers: Tensor
    ready: Any


class StepWatch:
    """The watch over the steps of a run.

    Args:
        accelerator: its processes and device.
        optimizer: torch's own, or the accelerator's wrapper of it.
        late: read the numbers one step late; None: on a GPU without fp16's scaler, if the device can shut off updates.

    Attributes:
        step: the number of the current step, from 0.
        stopping: whether this process knows that a signal asked any of the processes to stop; all of them know after the same
            step.
        skipped: steps that fp16's scaler has skipped since the last `take_skipped`.
    """

    def __init__(self, accelerator: Accelerator, optimizer: Any, *, late: bool | None = None) -> None:
        self.accelerator = accelerator
        self.plain: Optimizer = getattr(optimizer, "optimizer", optimizer)
        gpu = accelerator.device.type == "cuda"
        self.late = (gpu and can_be_shut(self.plain) and accelerator.scaler is None) if late is None else late
        self.step = 0
        self.stopping = False
        self.skipped = self._skipped_in_row = 0
        # 1 after the first step that is not finite.
        self._shut = torch.zeros((), device=accelerator.device)
        self._pending: _Pending | None = None
        self._before: _Pending | None = None

    @property
    def open(self) -> Tensor | None:
        """Return 1.0 while updates count and 0.0 once they are shut off, float32 []; None if steps are read at once."""
        return 1 - self._shut if self.late else None

    def judge(self, loss: Tensor, norm: Tensor) -> None:
        """Check a step before its update.

        Args:
            loss: this process's sum of losses, float64 [].
            norm: the norm of the gradient, the same on all processes.

        Raises:
            NonFiniteLoss: this step's loss or gradient is not finite. With `late`, `after_update` raises it after the next step.
        """
        # Made on the device: a copy from the CPU would wait for the device.
        asked = torch.full((), float(bool(signals.requested())), dtype=loss.dtype, device=loss.device)
        mine = torch.stack([loss, asked])
        if self.accelerator.num_processes > 1:
            mine = cast("Tensor", self.accelerator.reduce(mine, "sum"))
        numbers = torch.stack([mine[0], norm.to(mine.dtype), mine[1]])
        if not self.late:
            self._read(_Pending(self.step, numbers, None))
            return
        finite = torch.isfinite(numbers[0] + numbers[1])
        self._shut = torch.maximum(self._shut, (~finite).float())
        # torch's fused optimizers leave weights, moments and step counts as they are if `found_inf` is 1.
        self.plain.found_inf, self.plain.grad_scale = self._shut, None  # type: ignore[attr-defined]
        self._before, self._pending = self._pending, self._copy(numbers)

    def after_update(self) -> None:
        """Check the previous step, after the update of this one was queued, so that a GPU has work meanwhile.

        Raises:
            NonFiniteLoss: the loss or gradient of the previous step is not finite.
        """
        before, self._before = self._before, None
        if before is not None:
            self._read(before)

    def settle(self) -> None:
        """Check the last step if that has not happened yet: before anything is saved or scored.

        Raises:
            NonFiniteLoss: the last step's loss or gradient is not finite.
        """
        before, self._pending = self._pending, None
        if before is not None:
            self._read(before)

    def take_skipped(self) -> int:
        """Return the number of steps that were skipped since the last call."""
        skipped, self.skipped = self.skipped, 0
        return skipped

    def _copy(self, numbers: Tensor) -> _Pending:
        """Start to copy a step's numbers to the CPU."""
        if numbers.device.type != "cuda":
            return _Pending(self.step, numbers.clone(), None)
        host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        host.copy_(numbers, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record()
        return _Pending(self.step, host, ready)

    def _read(self, pending: _Pending) -> None:
        """Read a step's numbers and check them.

        Raises:
            NonFiniteLoss: the loss or gradient is not finite.
        """
        if pending.ready is not None:
            pending.ready.synchronize()
        loss, norm, asked = pending.numbers.tolist()
        self.stopping = asked > 0
        if self.accelerator.scaler is not None and math.isfinite(loss):
            self._count_skipped(pending.step, skipped=not math.isfinite(norm))
        elif not math.isfinite(loss + norm):
            raise NonFiniteStep(pending.step, f"loss {loss:g}, gradient norm {norm:g}")

    def _count_skipped(self, step: int, *, skipped: bool) -> None:
        """Count a step that fp16's scaler skips, because scaled gradients overflowed.

        Raises:
            NonFiniteLoss: it has skipped too many in a row, and nothing is learned.
        """
        self.skipped += skipped
        self._skipped_in_row = self._skipped_in_row + 1 if skipped else 0
        if self._skipped_in_row >= MOST_SKIPPED:
            what = f"fp16 skipped {MOST_SKIPPED} steps in a row, whose gradients were not finite at any scale"
            raise NonFiniteStep(step, what)


class NonFiniteStep(NonFiniteLoss):
    """A step that was not finite.

    Attributes:
        step: its number, from 0.
    """

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"step {step + 1}", what)
        self.step = step

    def __reduce__(self) -> tuple[type[NonFiniteStep], tuple[int, str]]:  # type: ignore[override]
        """Keep both parts when the error travels between processes."""
        return type(self), (self.step, self.what)


def can_be_shut(optimizer: Optimizer) -> bool:
    """Return whether an optimizer leaves everything as it is if `found_inf` is 1, as torch's fused ones do."""
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False)) and all(
        group.get("fused") for group in optimizer.param_groups
    )
