"""Splits of a data set: which images of a pixel store are trained on, selected by and tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.data import rng
from zoo.data.pixel_store import PixelStore
from zoo.data.rng import generator_of
from zoo.errors import ZooError


@dataclass(frozen=True)
class Split:
    """Some images of a store: `index` int64 [n] into `pixels`, `targets` int64 [n]."""

    pixels: PixelStore
    index: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, pixels: PixelStore, targets: np.ndarray) -> Split:
        """All images of a store."""
        return cls(pixels, np.arange(len(targets)), targets)

    def take(self, positions: np.ndarray) -> Split:
        """Some of its images; `positions` int64 count within the split."""
        return Split(self.pixels, self.index[positions], self.targets[positions])


@dataclass(frozen=True)
class Splits:
    """A data set ready for training.

    `test` and `val` are None where the data has none. `files` tells one list of files from another, '' where there is none.
    """

    classes: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split | None
    notes: list[str] = field(default_factory=list)
    files: str = ""

    def __str__(self) -> str:
        sizes = [("train", self.train), ("val", self.val), ("test", self.test)]
        counts = " / ".join(f"{len(split):,} {name}" for name, split in sizes if split is not None)
        return f"{counts} images, {len(self.classes)} classes, stored at {self.train.pixels.images.shape[-1]} px"

    def mark(self) -> str:
        """What a run that goes on must find as it was: classes, files, and the images and labels of each split."""
        digest = hashlib.sha256("\0".join([*self.classes, *([self.files] if self.files else [])]).encode())
        for split in (self.train, self.val, self.test):
            if split is not None:
                digest.update(np.stack([split.index, split.targets]).astype(np.int64).tobytes() + b"|")
        return digest.hexdigest()[:16]


def make_splits(
    classes: Sequence[str],
    train: Split,
    test: Split | None,
    *,
    val: Split | None = None,
    val_fraction: float,
    max_train: int | None,
    max_test: int | None,
    seed: int,
    notes: Sequence[str] = (),
) -> Splits:
    """Limit the sets, and cut val from train where there is none.

    Raises:
        ZooError: fewer training images are asked for than there are classes.
    """
    if max_train is not None and max_train < len(classes):
        raise ZooError("data.max_train", f"{max_train} images for {len(classes)} classes", f"at least {len(classes)}")
    train = train.take(stratified_subset(train.targets, max_train))
    test = test and test.take(stratified_subset(test.targets, max_test))
    if val is None and val_fraction:
        train, val = stratified_split(train, val_fraction, seed)
    # Classes of one image each leave nothing to cut.
    found = Splits(tuple(classes), train, val if val else None, test if test else None, list(notes))
    for name, split in (("val", found.val), ("test", found.test)):
        if split is not None and (text := _lacking(split, classes)):
            found.notes.append(f"{name} has no images of: {text}")
    return found


def _lacking(split: Split, classes: Sequence[str]) -> str:
    """The classes that a split has no images of, the first few by name."""
    counts = np.bincount(split.targets, minlength=len(classes))
    names = [name for name, count in zip(classes, counts, strict=True) if not count]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def stratified_split(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """The rest of a split and a random share of every class of it, at least one image and never all of them."""
    generator = generator_of(seed, rng.SPLIT)
    parts = [np.zeros(0, np.int64)]
    for label in range(int(split.targets.max(initial=-1)) + 1):
        members = generator.permutation(np.flatnonzero(split.targets == label))
        if len(members) > 1:
            parts.append(members[: min(max(1, round(len(members) * fraction)), len(members) - 1)])
    back = np.sort(np.concatenate(parts))
    return split.take(np.setdiff1d(np.arange(len(split)), back)), split.take(back)


def stratified_subset(targets: np.ndarray, limit: int | None) -> np.ndarray:
    """The first images of every class, `limit` in all, in proportion to the classes; int64 [n], ascending.

    Every class keeps an image, however rare, as long as the limit allows it.
    """
    if limit is None or limit >= len(targets):
        return np.arange(len(targets))
    counts = np.bincount(targets)
    share = counts * (limit / len(targets))
    take = np.maximum(np.floor(share).astype(np.int64), counts > 0)
    while take.sum() != limit:
        # One more where most is lacking, or one less where there is most too much.
        step = 1 if take.sum() < limit else -1
        least = 0 if limit < np.count_nonzero(counts) else counts > 0
        free = take < counts if step > 0 else take > least
        take[np.argmax(np.where(free, step * (share - take), -np.inf))] += step
    return np.sort(np.concatenate([np.flatnonzero(targets == label)[:n] for label, n in enumerate(take)]))
