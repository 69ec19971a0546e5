"""Divide images into stratified folds, with exact copies of an image in the same fold."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from zoo.data import rng
from zoo.data.rng import generator_of
from zoo.data.splits import Split, Splits, stratified_subset

# Number of images read from a store at a time.
CHUNK = 256


def scouted(data: Splits) -> Split:
    """Return the images that a scouting may use: train, followed by val. Test images stay unseen."""
    if data.val is None:
        return data.train
    assert data.val.pixels is data.train.pixels, "one store holds all splits"
    return replace(
        data.train,
        index=np.concatenate([data.train.index, data.val.index]),
        targets=np.concatenate([data.train.targets, data.val.targets]),
    )


def subset(targets: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Return the positions of a random stratified subset of at most `limit` images, int64, ascending."""
    if limit is None or limit >= len(targets):
        return np.arange(len(targets))
    shuffled = generator_of(seed, rng.FOLDS, 0).permutation(len(targets))
    return np.sort(shuffled[stratified_subset(targets[shuffled], limit)])


def digests(split: Split) -> list[bytes]:
    """Return a digest of the pixels and the aspect ratio of each image, equal for exact copies."""
    pixels, found = split.pixels, []
    for start in range(0, len(split), CHUNK):
        index = split.index[start : start + CHUNK]
        for image, aspect in zip(pixels.take(index), pixels.aspects[index], strict=True):
            found.append(hashlib.blake2b(image.tobytes() + aspect.tobytes(), digest_size=16).digest())
    return found


def groups(found: list[bytes]) -> np.ndarray:
    """Return a group number for each image, int64 [N], equal for images with the same digest."""
    return np.unique(np.array([digest.hex() for digest in found]), return_inverse=True)[1].astype(np.int64)


def few(targets: np.ndarray, group: np.ndarray, folds: int) -> int:
    """Return the number of classes with fewer different images than folds, which are missing in some folds.

    Args:
        targets: int64 [N].
        group: int64 [N], equal for copies of an image.
        folds: number of folds.
    """
    different = np.unique(np.stack([targets, group]), axis=1)[0]  # the class of each
    return int((np.unique(different, return_counts=True)[1] < folds).sum())


def divide(targets: np.ndarray, group: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each image, int64 [N] from 0: classes are spread evenly, images of a group stay together.

    Args:
        targets: int64 [N], the classes. A group counts for the class of its first image.
        group: int64 [N].
        folds: number of folds, at most the number of groups.
        seed: seed for shuffling the groups.
    """
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    sizes = np.bincount(inverse)
    labels = targets[first]
    counts = np.zeros((folds, int(targets.max()) + 1), np.int64)
    fold = np.zeros(len(first), np.int64)
    order = generator_of(seed, rng.FOLDS, 1).permutation(len(first))
    # Place the largest groups first, as they are the hardest to place; groups of equal size by class, in random order.
    order = order[np.lexsort((labels[order], -sizes[order]))]
    for number in order:
        label = labels[number]
        # The fold with the fewest images of the class; among several, the smallest fold.
        best = min(range(folds), key=lambda place: (counts[place, label], counts[place].sum()))
        fold[number] = best
        counts[best, label] += sizes[number]
    return fold[inverse]
