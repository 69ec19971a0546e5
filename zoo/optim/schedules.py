"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from zoo.section import Section, kind_or_mapping


class _Schedule(Section):
    """The base class of schedules, with a linear warm-up. A new schedule is a subclass and an entry in `Schedule`."""

    warmup_epochs: float = Field(default=1.0, ge=0, description="Linear warm-up from near zero, in epochs (0.5 is half of one).")

    def lr_at(self, step: float, steps: int, steps_per_epoch: float) -> float:
        """Return the learning rate of a step as a share of the peak.

        Args:
            step: number of the step, from 0; may be a fraction if the plan was changed during the run.
            steps: steps of the whole run.
            steps_per_epoch: steps of an epoch.
        """
        warmup = min(round(self.warmup_epochs * steps_per_epoch), steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        # Taken in the middle of the step: at an end point, where the rate may be 0, the first or last step would be lost.
        return self.ratio((step - warmup + 0.5) / max(1, steps - warmup), (step + 0.5) / steps_per_epoch)

    def ratio(self, progress: float, epoch: float) -> float:
        """Return the learning rate after warm-up as a share of the peak.

        Args:
            progress: share of the steps after warm-up that are done, from 0 to 1.
            epoch: epochs since the start of the run.
        """
        raise NotImplementedError


class _Decaying(_Schedule):
    """A schedule that ends at a given share of the peak."""

    final_lr_ratio: float = Field(default=0.01, ge=0, le=1, description="Last learning rate as a share of the peak.")


class Cosine(_Decaying):
    """Half a cosine from the peak to the final ratio (SGDR, Loshchilov and Hutter 2017, without restarts)."""

    kind: Literal["cosine"] = "cosine"

    def ratio(self, progress: float, epoch: float) -> float:
        """Fall slowly, then fast, then slowly."""
        return self.final_lr_ratio + (1 - self.final_lr_ratio) * (1 + math.cos(math.pi * progress)) / 2


class Linear(_Decaying):
    """A straight line from the peak to the final ratio."""

    kind: Literal["linear"] = "linear"

    def ratio(self, progress: float, epoch: float) -> float:
        """Fall evenly."""
        return self.final_lr_ratio + (1 - self.final_lr_ratio) * (1 - progress)


class OneCycle(_Decaying):
    """A rise along a cosine, then a fall along another one (Smith and Topin 2018, as in torch's OneCycleLR)."""

    kind: Literal["one_cycle"] = "one_cycle"
    warmup_epochs: float = Field(default=0.0, ge=0, description="Linear warm-up in epochs; not needed, as the cycle starts low.")
    peak_at: float = Field(default=0.3, gt=0, lt=1, description="Share of the steps at which the peak is reached.")
    start_lr_ratio: float = Field(default=0.04, ge=0, le=1, description="First learning rate as a share of the peak.")

    def ratio(self, progress: float, epoch: float) -> float:
        """Rise to the peak, then fall."""
        if progress < self.peak_at:
            low, phase = self.start_lr_ratio, 1 - progress / self.peak_at
        else:
            low, phase = self.final_lr_ratio, (progress - self.peak_at) / (1 - self.peak_at)
        return low + (1 - low) * (1 + math.cos(math.pi * phase)) / 2


class Step(_Schedule):
    """A learning rate that is multiplied by `gamma` every few epochs."""

    kind: Literal["step"] = "step"
    every_epochs: float = Field(default=3.0, gt=0, description="Epochs between two drops.")
    gamma: float = Field(default=0.1, gt=0, lt=1, description="Factor of each drop.")

    def ratio(self, progress: float, epoch: float) -> float:
        """Fall in steps."""
        return self.gamma ** int(epoch / self.every_epochs)


class Constant(_Schedule):
    """The peak at every step after warm-up."""

    kind: Literal["constant"] = "constant"

    def ratio(self, progress: float, epoch: float) -> float:
        """Stay at the peak."""
        return 1.0


Schedule = Annotated[
    Cosine | Linear | OneCycle | Step | Constant,
    Field(discriminator="kind"),
    kind_or_mapping("cosine", "linear", "one_cycle", "step", "constant", default="one_cycle"),
]
