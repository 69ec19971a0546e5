from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.deploy.paired import paired_accuracy, paired_interval


def test_the_interval_is_that_of_agresti_and_min() -> None:
    # By hand: (7.5 - 2.5) / 102 +- 1.96 * sqrt(10 - 25 / 102) / 102
    assert paired_interval(2, 7, 100) == pytest.approx((-0.010997, 0.109037), abs=1e-5)


def test_the_interval_holds_what_it_promises() -> None:
    """Of 4,000 samples with a true difference of 0.03, about 95 % have it in their interval."""
    draws = np.random.default_rng(0).multinomial(300, [0.05, 0.08, 0.87], size=4000)
    held = [low <= 0.03 <= high for low, high in (paired_interval(int(lost), int(won), 300) for lost, won, _ in draws)]
    assert 0.94 < np.mean(held) < 0.965


def test_unknown_classes_are_left_out() -> None:
    live, exported = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 1, 1])
    found = paired_accuracy(live, exported, torch.tensor([0, 0, 2, -1]))
    assert found is not None
    assert (found.images, found.live, found.exported) == (3, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert paired_accuracy(live, exported, torch.full((4,), -1)) is None
