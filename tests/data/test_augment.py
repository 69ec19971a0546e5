"""Crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zoo.data import augment


@pytest.mark.parametrize("aspect", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("crop", [augment.NoCrop(), augment.PadShift(pad=8), augment.RandomResized()])
def test_crops_keep_the_shape_of_what_they_show(aspect: float, crop: Any) -> None:
    boxes = crop.boxes(np.random.default_rng(0), np.full(500, aspect), 64)
    wide, high = (boxes[:, 2] - boxes[:, 0]) * aspect, boxes[:, 3] - boxes[:, 1]
    if crop.kind == "random_resized":
        assert boxes.min() >= 0
        assert boxes.max() <= 1 + 1e-9
        assert (wide / high).min() > 0.749
        assert (wide / high).max() < 1.334
        areas = wide * high / aspect
        assert areas.max() <= 1
        assert aspect != 1 or (areas.min() >= 0.349 and areas.max() > 0.9)
    else:
        assert wide / high == pytest.approx(1)
        assert np.minimum(wide / aspect, high).max() <= 1
    shift = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5).max()
    assert (shift == pytest.approx(0)) == (crop.kind == "none")
