"""The weight of an image of each class: a mean of 1 over the training images, more for rare classes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from zoo.errors import ZooError
from zoo.training.class_weights import class_weights

COUNTS = (4000, 400, 40)
CPU = torch.device("cpu")


def data() -> Any:
    targets = np.repeat(np.arange(3), COUNTS)

    class Train(SimpleNamespace):
        def __len__(self) -> int:
            return len(targets)

    return SimpleNamespace(train=Train(targets=targets), classes=("a", "b", "c"))


def test_none_is_none() -> None:
    assert class_weights("none", data(), CPU) is None


@pytest.mark.parametrize("asked", ["balanced", "effective", (1.0, 2.0, 5.0)])
def test_the_mean_over_images_is_one_and_rare_classes_weigh_more(asked: Any) -> None:
    found = class_weights(asked, data(), CPU)
    assert found is not None
    assert found.dtype == torch.float32
    assert float((found * torch.tensor(COUNTS)).sum() / sum(COUNTS)) == pytest.approx(1)
    assert found.tolist() == sorted(found.tolist())


def test_each_is_what_it_says() -> None:
    balanced, effective, listed = (class_weights(asked, data(), CPU) for asked in ("balanced", "effective", (1.0, 2.0, 5.0)))
    assert balanced is not None
    assert effective is not None
    assert listed is not None
    assert (balanced / balanced[0]).tolist() == pytest.approx([1, 10, 100])
    assert (listed / listed[0]).tolist() == pytest.approx([1, 2, 5])
    # Cui et al. 2019, with a beta of 0.999.
    numbers = [(1 - 0.999**count) / (1 - 0.999) for count in COUNTS]
    assert (effective / effective[0]).tolist() == pytest.approx([numbers[0] / number for number in numbers], rel=1e-4)


def test_a_list_has_a_weight_for_each_class() -> None:
    with pytest.raises(ZooError, match=r"^train\.class_weights: 2 weights for 3 classes: a, b, c \(give one for each class"):
        class_weights((1.0, 2.0), data(), CPU)
