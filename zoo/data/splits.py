"""Splits of a data set: the images of a pixel store for training, for selecting the epoch and for testing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zoo.data import rng
from zoo.data.pixel_store import PixelStore
from zoo.data.rng import generator_of
from zoo.errors import ZooError
from zoo.system.files import printable


@dataclass(frozen=True)
class Origin:
    """The origin of the images of a store, which gives each image its name.

    Attributes:
        files: paths below the root with `/`, one for each image of the store; empty if the images are not files.
        part: without files, the part of the source that the images are from, such as `train`.
        first: position in the store at which the part begins.
    """

    files: Sequence[str] = ()
    part: str = ""
    first: int = 0

    def name(self, position: int) -> str:
        """Return the name of the image at a position in the store: `train/cat/0001.png`, or `train[123]`."""
        return printable(self.files[position]) if self.files else f"{self.part}[{position - self.first}]"


@dataclass(frozen=True)
class Split:
    """Some images of a store: `index` int64 [n] into `pixels`, `targets` int64 [n], and where they come from."""

    pixels: PixelStore
    index: np.ndarray
    targets: np.ndarray
    origin: Origin = Origin(part="images")

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, pixels: PixelStore, targets: np.ndarray, origin: Origin = Origin(part="images")) -> Split:
        """Return all images of a store; targets int64 [N]."""
        return cls(pixels, np.arange(len(targets)), targets, origin)

    def take(self, positions: np.ndarray) -> Split:
        """Return a split of some of the images; `positions` int64 [n] are positions in this split."""
        return replace(self, index=self.index[positions], targets=self.targets[positions])

    def names(self) -> list[str]:
        """Return the name of each image, in the order of the split and in a form that any console can print."""
        return [self.origin.name(position) for position in self.index.tolist()]


@dataclass(frozen=True)
class Fold:
    """The part of the training images that is used for validation: fold `number`, counted from 0, of `count`."""

    number: int
    count: int


@dataclass(frozen=True)
class Splits:
    """A data set ready for training.

    Attributes:
        classes: their names, in the order of the labels.
        train, val, test: the images; `val` and `test` are None if there are none.
        notes: lines for the console.
        listing: description of the image files by `changes.describe_files`; empty if the images are not from an image folder.
    """

    classes: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split | None
    notes: list[str] = field(default_factory=list)
    listing: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        sizes = [("train", self.train), ("val", self.val), ("test", self.test)]
        counts = " / ".join(f"{len(split):,} {name}" for name, split in sizes if split is not None)
        return f"{counts} images, {len(self.classes)} classes, stored at {self.train.pixels.images.shape[-1]} px"

    def named(self) -> dict[str, Split]:
        """Return the splits that are not None, by name."""
        sets = {"train": self.train, "val": self.val, "test": self.test}
        return {name: split for name, split in sets.items() if split is not None}

    def filled(self, pixels: PixelStore, notes: Sequence[str]) -> Splits:
        """Return the same splits with another store of the same images, and with more notes before their own."""
        sets = {name: replace(split, pixels=pixels) for name, split in self.named().items()}
        return replace(self, **sets, notes=[*notes, *self.notes])

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with the classes, the files, and the images and labels of each split.

        A resumed run must find the same fingerprint. No pixels are needed for it.
        """
        files = self.listing.get("digest")
        digest = hashlib.sha256("\0".join([*self.classes, *([files] if files else [])]).encode())
        for split in self.named().values():
            digest.update(np.stack([split.index, split.targets]).astype(np.int64).tobytes() + b"|")
        return digest.hexdigest()[:16]


def make_splits(
    classes: Sequence[str],
    train: Split,
    test: Split | None,
    *,
    val: Split | None = None,
    val_fraction: float | Fold,
    max_train: int | None,
    max_test: int | None,
    seed: int,
    listing: Mapping[str, Any] | None = None,
) -> Splits:
    """Limit the number of images, and split val off from train if there is no val.

    Args:
        classes: their names, in the order of the labels.
        train, test, val: the images; val is used as it is.
        val_fraction: share of every class of train that becomes val; or the fold that becomes val. With a fold, there is no
            test set: choices that are made by folds must not see the test images.
        max_train, max_test: the most images to keep, None for all.
        seed: the seed of the random choice of val.
        listing: description of the image files by `changes.describe_files`.

    Raises:
        ZooError: `max_train` is less than the number of classes, or the images cannot be divided into folds.
    """
    if max_train is not None and max_train < len(classes):
        raise ZooError("data.max_train", f"{max_train} images for {len(classes)} classes", f"give at least {len(classes)}")
    train = train.take(stratified_subset(train.targets, max_train))
    test = test and test.take(stratified_subset(test.targets, max_test))
    if isinstance(val_fraction, Fold):
        train, val = _fold_of(classes, train, val, val_fraction, seed)
        test = None
    elif val is None and val_fraction:
        train, val = stratified_split(train, val_fraction, seed)
    # If every class has a single image, nothing is split off.
    found = Splits(tuple(classes), train, val if val else None, test if test else None, listing=listing or {})
    for name, split in (("val", found.val), ("test", found.test)):
        if split is not None and (text := _lacking(split, classes)):
            found.notes.append(f"{name} has no images of: {text}")
    return found


def _fold_of(classes: Sequence[str], train: Split, val: Split | None, fold: Fold, seed: int) -> tuple[Split, Split]:
    """Return the training images without a fold, and the fold.

    Raises:
        ZooError: there are validation images already, or so few images that a fold would be empty or train would lack a class.
    """
    if val is not None:
        raise ZooError("data.folds", "the data has validation images of its own", "move them to train, or leave data.folds out")
    if fold.count > len(train):
        raise ZooError("data.folds", f"{fold.count} folds, but only {len(train)} training images", "use fewer folds")
    counts = np.bincount(train.targets, minlength=len(classes))
    if (counts == 1).any():
        what = f"class '{classes[int(np.argmax(counts == 1))]}' has only one training image, which cannot train and validate"
        raise ZooError("data.folds", what, "add images of it, or remove the class")
    inside = stratified_folds(train.targets, fold.count, seed) == fold.number
    return train.take(np.flatnonzero(~inside)), train.take(np.flatnonzero(inside))


def stratified_folds(targets: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each image, which depends only on the labels, the number of folds and the seed.

    The images of each class, in random order, are dealt out to the folds one by one, and the next class continues where the
    last one ended. The numbers of images in two folds differ by at most one, in total and within each class.

    Args:
        targets: int64 [N].
        folds: number of folds.
        seed: the seed of the order within each class.

    Returns:
        int64 [N], from 0.
    """
    generator = generator_of(seed, rng.SPLIT, folds)
    dealt = [generator.permutation(np.flatnonzero(targets == label)) for label in range(int(targets.max(initial=-1)) + 1)]
    found = np.zeros(len(targets), np.int64)
    found[np.concatenate([np.zeros(0, np.int64), *dealt])] = np.arange(len(targets)) % folds
    return found


def _lacking(split: Split, classes: Sequence[str]) -> str:
    """Return a text with the classes that have no images in a split, the first ten by name."""
    counts = np.bincount(split.targets, minlength=len(classes))
    names = [name for name, count in zip(classes, counts, strict=True) if not count]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def stratified_split(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Return the rest of a split, and a random share of every class of two or more images: at least one, but never all."""
    generator = generator_of(seed, rng.SPLIT)
    parts = [np.zeros(0, np.int64)]
    for label in range(int(split.targets.max(initial=-1)) + 1):
        members = generator.permutation(np.flatnonzero(split.targets == label))
        if len(members) > 1:
            parts.append(members[: min(max(1, round(len(members) * fraction)), len(members) - 1)])
    back = np.sort(np.concatenate(parts))
    return split.take(np.setdiff1d(np.arange(len(split)), back)), split.take(back)


def stratified_subset(targets: np.ndarray, limit: int | None) -> np.ndarray:
    """Return the positions of the first images of every class, `limit` in all, in proportion to the size of the classes.

    Every class keeps at least one image, as long as the limit allows it.

    Args:
        targets: int64 [N].
        limit: the most images to keep, None for all.

    Returns:
        int64 [n], ascending.
    """
    if limit is None or limit >= len(targets):
        return np.arange(len(targets))
    counts = np.bincount(targets)  # [classes]
    share = counts * (limit / len(targets))
    take = np.maximum(np.floor(share).astype(np.int64), counts > 0)
    while take.sum() != limit:
        # One more for the class with the most too few, or one less for the class with the most too many.
        step = 1 if take.sum() < limit else -1
        least = 0 if limit < np.count_nonzero(counts) else counts > 0
        free = take < counts if step > 0 else take > least
        take[np.argmax(np.where(free, step * (share - take), -np.inf))] += step
    return np.sort(np.concatenate([np.flatnonzero(targets == label)[:n] for label, n in enumerate(take)]))
