"""Folds: classes are spread evenly, copies are in the same fold, and test images are never used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zoo.data.pixel_store import PixelStore
from zoo.data.splits import Split, make_splits
from zoo.scout import folds


def test_every_class_is_spread_evenly() -> None:
    targets = np.repeat(np.arange(4), [50, 20, 7, 3])
    fold = folds.divide(targets, np.arange(80), 5, 0)
    counts = np.stack([np.bincount(fold[targets == label], minlength=5) for label in range(4)])
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(counts.sum(0)) <= 1
    assert not np.array_equal(fold, folds.divide(targets, np.arange(80), 5, 1))
    assert np.array_equal(fold, folds.divide(targets, np.arange(80), 5, 0))


def test_copies_share_a_fold_whatever_their_labels() -> None:
    generator = np.random.default_rng(0)
    group = generator.integers(0, 40, 200)
    targets = generator.integers(0, 3, 200)
    fold = folds.divide(targets, group, 4, 0)
    assert all(len(set(fold[group == number])) == 1 for number in np.unique(group))
    assert np.bincount(fold).min() > 30


def test_classes_with_too_few_different_images_are_counted() -> None:
    targets = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    assert folds.few(targets, np.arange(8), 3) == 1
    assert folds.few(targets, np.array([0, 1, 2, 3, 4, 4, 5, 6]), 3) == 2
    assert folds.few(targets, np.arange(8), 2) == 0


def test_images_are_copies_where_pixels_and_shape_are_equal() -> None:
    images = np.zeros((5, 3, 2, 2), np.uint8)
    images[2] = 9
    store = replace(PixelStore.square(images), aspects=np.array([1, 1, 1, 2, 1], np.float32))
    split = Split.of(store, np.zeros(5, np.int64))
    group = folds.groups(folds.digests(split))
    assert group[0] == group[1] == group[4]
    assert len(set(group)) == 3


def test_a_subset_keeps_the_classes_in_proportion_and_is_not_the_first_images() -> None:
    targets = np.repeat(np.arange(2), [300, 100])
    chosen = folds.subset(targets, 40, 0)
    assert np.bincount(targets[chosen]).tolist() == [30, 10]
    assert np.all(np.diff(chosen) > 0)
    assert chosen.max() - chosen.min() > 200
    assert np.array_equal(folds.subset(targets, 400, 0), np.arange(400))
    assert np.array_equal(folds.subset(targets, None, 0), np.arange(400))


@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_train_and_val_are_looked_at_and_test_is_not(fraction: float) -> None:
    store = PixelStore.square(np.zeros((30, 3, 2, 2), np.uint8))
    targets = np.arange(20) % 2
    train = Split(store, np.arange(20), targets)
    test = Split(store, np.arange(20, 30), targets[:10])
    data = make_splits(["a", "b"], train, test, val_fraction=fraction, max_train=None, max_test=None, seed=0)
    found = folds.scouted(data)
    assert sorted(found.index) == list(range(20))
    assert np.array_equal(found.targets, found.index % 2)
