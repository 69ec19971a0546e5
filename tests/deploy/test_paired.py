from __future__ import annotations

import pytest
import torch

from zoo.deploy.paired import paired_accuracy


def test_unknown_classes_are_left_out() -> None:
    live, exported = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 1, 1])
    found = paired_accuracy(live, exported, torch.tensor([0, 0, 2, -1]))
    assert found is not None
    assert (found.images, found.live, found.exported) == (3, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert paired_accuracy(live, exported, torch.full((4,), -1)) is None
