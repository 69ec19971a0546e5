"""The moving average of the weights."""

from __future__ import annotations

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn


class WeightAverage(ModelEmaV3):
    """timm's moving average with its warm-up. It lists the tensors once, and can skip a step whose weight update was skipped.

    Args:
        model: the bare model, on its device and in its memory format.
        decay: of the average, per step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, decay=decay, use_warmup=True)
        self._averaged: list[Tensor] = []
        self._weights: list[Tensor] = []
        self._counts: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def follow(self, model: nn.Module, step: int, open_: Tensor | None = None) -> None:
        """Move the average towards the weights after a step.

        Args:
            model: the bare model, the same each time.
            step: the step's number, from 0.
            open_: float32 [], 0.0 to leave the average unchanged, as the weights of a skipped step are; else 1.0. None: 1.0.
        """
        if not self._weights:
            self._list(model)
        share = 1.0 - self.get_decay(step)
        difference = torch._foreach_sub(self._weights, self._averaged)
        if open_ is not None:
            # A factor of 1.0 changes no bit, and with 0.0 nothing is added.
            torch._foreach_mul_(difference, open_)
        torch._foreach_add_(self._averaged, difference, alpha=share)
        for averaged, count in self._counts:
            averaged.copy_(count)

    def _list(self, model: nn.Module) -> None:
        """List the tensors that are averaged, and the integer counts that are copied; both are changed in place from now on."""
        listed: set[int] = set()
        for averaged, value in zip(self.module.state_dict().values(), model.state_dict().values(), strict=True):
            if averaged.data_ptr() in listed:
                continue  # a layer that a model uses in several places has several names
            listed.add(averaged.data_ptr())
            if averaged.is_floating_point():
                self._averaged.append(averaged)
                self._weights.append(value)
            else:
                self._counts.append((averaged, value))
