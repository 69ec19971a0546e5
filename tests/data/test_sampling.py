"""The images of an epoch if rare classes should be shown more often."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data.sampling import sampled_order

COUNTS = (400, 90, 10)
TARGETS = np.random.default_rng(0).permutation(np.repeat(np.arange(3), COUNTS))


def shown(power: float, epoch: int = 0, seed: int = 0) -> np.ndarray:
    return sampled_order(seed, epoch, TARGETS, power=power)


@pytest.mark.parametrize(("power", "expected"), [(0.0, (167, 167, 166)), (0.5, (306, 145, 49)), (1.0, COUNTS)])
def test_classes_have_their_shares(power: float, expected: tuple[int, ...]) -> None:
    counts = np.bincount(TARGETS[shown(power)])
    assert counts.sum() == len(TARGETS)
    assert abs(counts - expected).max() <= 1


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_images_of_a_class_take_turns(power: float) -> None:
    times = np.bincount(shown(power), minlength=len(TARGETS))
    for label in range(3):
        mine = times[label == TARGETS]
        assert mine.max() - mine.min() <= 1
    # Within 20 epochs, every image is shown, even those of the large class.
    seen = set(np.concatenate([shown(power, epoch) for epoch in range(20)]))
    assert len(seen) == len(TARGETS)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert (shown(0.0) == shown(0.0)).all()
    assert not (shown(0.0) == shown(0.0, epoch=1)).all()
    assert not (shown(0.0) == shown(0.0, seed=1)).all()


def test_with_shares_of_their_number_every_image_is_seen_once() -> None:
    assert sorted(shown(1.0)) == list(range(len(TARGETS)))


def test_a_class_without_images_has_no_share() -> None:
    targets = np.array([0, 0, 0, 2])
    assert sorted(targets[sampled_order(0, 0, targets, power=0.0)]) == [0, 0, 2, 2]
