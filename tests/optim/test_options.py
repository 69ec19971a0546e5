"""Optimizers are checked by name without timm, and null leaves the choice to the optimizer."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from zoo.optim.options import Optim


def test_the_defaults_leave_momentum_and_second_beta_to_the_optimizer() -> None:
    assert (Optim().name, Optim().momentum, Optim().beta2) == ("adamw", None, None)
    assert Optim(momentum=0.9).momentum == 0.9


def test_a_misspelt_optimizer_names_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"unknown 'adamv' .did you mean 'adam"):
        Optim(name="adamv")


@pytest.mark.parametrize("options", [{"lr": 0.0}, {"weight_decay": -1.0}, {"momentum": 1.0}, {"momentum": -0.1}, {"beta2": 0.0}])
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Optim(**options)  # type: ignore[arg-type]
