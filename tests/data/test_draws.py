"""The draws of a global batch: an option that is turned on does not change the draws of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zoo.data.augment import Augment
from zoo.data.draws import Drawn, draw, random_boxes

COUNT = 400


def drawn(**options: Any) -> Drawn:
    aspects = np.ones(COUNT, np.float32)
    augment = Augment.model_validate({"hflip": False, **options})
    return draw(np.arange(COUNT), aspects, 32, augment, np.random.default_rng(0))


@pytest.mark.parametrize(
    "options",
    [{"hflip": True}, {"vflip": True}, {"color_jitter": 0.3}, {"erase": 0.5}, {"mixup": 0.2}, {"cutmix": 1.0}, {"policy": "rand_augment"}, {"rotate": 20.0}],
)  # fmt: skip
def test_an_option_leaves_the_crops_where_they_are(options: dict[str, Any]) -> None:
    plain, varied = drawn(), drawn(**options)
    for low, high in ((0, 2), (1, 3)):
        first, second = plain.boxes[:, [low, high]], varied.boxes[:, [low, high]]
        assert (np.sort(first, 1) == np.sort(second, 1)).all()


def test_a_policy_leaves_all_other_draws_as_they_are() -> None:
    options = {"hflip": True, "vflip": True, "color_jitter": 0.3, "erase": 0.5, "mixup": 0.2, "cutmix": 1.0}
    plain, varied = drawn(**options), drawn(**options, policy={"kind": "aug_mix", "severity": 5})
    assert plain.policy is None
    assert varied.policy is not None
    for name in ("boxes", "factors", "holes", "partner", "ratio", "cut"):
        assert (getattr(plain, name) == getattr(varied, name)).all()


def test_half_of_the_images_are_turned_each_way() -> None:
    found = drawn(hflip=True, vflip=True)
    for low, high in ((0, 2), (1, 3)):
        assert np.mean(found.boxes[:, low] > found.boxes[:, high]) == pytest.approx(0.5, abs=0.1)


def test_images_are_mixed_until_they_are_not() -> None:
    assert drawn(mixup=0.2).partner is not None
    augment = Augment.model_validate({"mix_until": 0.9})
    assert [augment.mixes(step, 10) for step in (0, 8, 9)] == [True, True, False]
    assert Augment().mixes(9, 10)


def test_boxes_lie_within_the_image() -> None:
    boxes = random_boxes(np.random.default_rng(0), np.full(COUNT, 0.5), np.full(COUNT, 0.25))
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    assert (boxes[:, 2] - boxes[:, 0]).max() <= 0.5 + 1e-9
