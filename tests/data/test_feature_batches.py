"""Batches of features are rows of a table, whatever the random draws of a step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from zoo.data.augment import Augment
from zoo.data.feature_batches import FeatureBatches


def test_a_step_gets_its_part_of_the_rows_with_their_labels() -> None:
    features, targets = torch.arange(12.0).view(6, 2), torch.arange(6)
    images = cast("Any", SimpleNamespace(split=np.zeros(6), targets=targets))
    batches = FeatureBatches(images, features)
    assert len(batches) == 6
    drawn = batches.draw(np.array([5, 1, 3, 0]), Augment(), 0, 7)
    rows, labels = batches.finish(batches.gather(drawn, slice(1, 3)), 96, Augment(), mixes=True)
    assert torch.equal(rows, features[[1, 3]])
    assert labels.tolist() == [1, 3]
    assert torch.equal(batches.evaluation(np.array([2]), 96)[0], features[[2]])
