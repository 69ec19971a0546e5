"""Policies draw the operations, magnitudes and signs of their papers, as a function of the generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import autoaugment

from zoo.data import policy
from zoo.data.policy import OPERATIONS, SIGNED, AugMix, AutoAugment, Draws, NoPolicy, RandAugment, TrivialAugment

COUNT = 20_000
# torchvision's names of the operations.
NAMES = {
    name: "".join(word.capitalize() for word in name.split("_")).replace("Autocontrast", "AutoContrast") for name in OPERATIONS
}


def drawn(options: Any, count: int = COUNT, seed: int = 0) -> Draws:
    return options.draw(np.random.default_rng(seed), count)


def of(found: Draws, name: str) -> np.ndarray:
    """Return the strengths of an operation, float [n]."""
    return found.strength[found.operation == OPERATIONS.index(name)]


def in_our_units(name: str, magnitudes: torch.Tensor, side: int) -> np.ndarray:
    values = magnitudes.double().numpy().reshape(-1)
    return values / side if name.startswith("translate") else values


def test_nothing_is_nothing() -> None:
    assert NoPolicy().draw(np.random.default_rng(0), 8) is None


@pytest.mark.parametrize("options", [RandAugment(), TrivialAugment(), AutoAugment(), AutoAugment(found_on="cifar10"), AugMix()])
def test_draws_are_a_function_of_the_generator(options: Any) -> None:
    first, again, other = drawn(options, 64), drawn(options, 64), drawn(options, 64, seed=1)
    assert (first.operation == again.operation).all()
    assert (first.strength == again.strength).all()
    assert not (first.operation == other.operation).all()
    assert first.operation.shape == first.strength.shape == (len(first.operation), 64)


@pytest.mark.parametrize("magnitude", [0, 9, 30])
def test_rand_augment_has_torchvisions_strengths(magnitude: int) -> None:
    side = 331
    space = autoaugment.RandAugment()._augmentation_space(31, (side, side))
    found = drawn(RandAugment(operations=3, magnitude=magnitude))
    assert len(found.operation) == 3
    assert {OPERATIONS[place] for place in np.unique(found.operation)} == {name for name in OPERATIONS if NAMES[name] in space}
    # All operations are equally frequent.
    counts = np.bincount(found.operation.reshape(-1), minlength=len(OPERATIONS))[:-1]
    assert counts / counts.sum() == pytest.approx(1 / 14, rel=0.1)
    for name in OPERATIONS[:-1]:
        magnitudes, signed = space[NAMES[name]]
        expected = in_our_units(name, magnitudes[magnitude] if magnitudes.ndim else magnitudes, side)
        assert abs(of(found, name)) == pytest.approx(float(expected[0]), abs=1e-5)
        assert signed == (name in SIGNED)
        if signed and magnitude:
            assert np.mean(of(found, name) < 0) == pytest.approx(0.5, abs=0.05)


def test_trivial_augment_draws_every_strength_of_torchvisions_wide_space() -> None:
    space = autoaugment.TrivialAugmentWide()._augmentation_space(31)
    found = drawn(TrivialAugment(), 60_000)
    assert found.operation.shape == (1, 60_000)
    for name in OPERATIONS[1:-1]:
        expected = np.unique(np.round(in_our_units(name, space[NAMES[name]][0], 224), 4))
        assert np.unique(np.round(abs(of(found, name)), 4)) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(("table", "name"), [(policy.IMAGENET, "imagenet"), (policy.CIFAR10, "cifar10")])
def test_auto_augment_has_the_pairs_of_the_paper(table: str, name: str) -> None:
    theirs = autoaugment.AutoAugment(autoaugment.AutoAugmentPolicy(name)).policies
    ours = [tuple((NAMES[OPERATIONS[int(place)]], share, int(magnitude)) for place, share, magnitude in pair)
            for pair in policy._parsed(table)]  # fmt: skip
    assert ours == [tuple((operation, share, magnitude or 0) for operation, share, magnitude in pair) for pair in theirs]


def test_the_operations_of_auto_augment_happen_as_often_as_their_probabilities_say() -> None:
    found = drawn(AutoAugment(), 100_000)
    shares = np.array([share for pair in policy._parsed(policy.IMAGENET) for _, share, _ in pair])
    assert np.mean(found.operation > 0) == pytest.approx(shares.mean(), abs=0.01)
    space = autoaugment.AutoAugment()._augmentation_space(10, (331, 331))
    assert np.unique(abs(of(found, "rotate"))) == pytest.approx(space["Rotate"][0][[2, 3, 8, 9]].numpy()[1:], abs=1e-4)


def test_aug_mix_mixes_chains_of_up_to_three_operations() -> None:
    found = drawn(AugMix(severity=4, chains=2))
    assert found.weights is not None
    assert found.weights.sum(0) == pytest.approx(1)
    assert found.weights.min() >= 0
    assert found.operation.shape == (6, COUNT)
    lengths = (found.operation[:3] > 0).sum(0)
    assert np.bincount(lengths)[1:] / COUNT == pytest.approx(1 / 3, abs=0.02)
    # The first operation of a chain is never left out, and none inverts.
    assert (found.operation[[0, 3]] > 0).all()
    assert found.operation.max() < OPERATIONS.index("invert")
    space = autoaugment.AugMix()._augmentation_space(10, (300, 300))
    for name in ("shear_x", "translate_y", "rotate", "posterize", "solarize", "contrast"):
        expected = np.unique(np.round(in_our_units(name, space[NAMES[name]][0][:4], 300), 4))
        assert np.unique(np.round(abs(of(found, name)), 4)) == pytest.approx(expected, abs=2e-4)
