"""The base class of data sets: the options that all of them have, and the step from a reader's images to splits.

Each data set is one file, with an option class that inherits from `DataSet` and its reader. The recipe imports these files,
so numpy and torch are imported only where they are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from zoo.section import Section

if TYPE_CHECKING:
    from zoo.data.splits import Split, Splits


@dataclass(frozen=True)
class Outline:
    """The number and size of a data set's training images, known before any is decoded.

    Attributes:
        images: number of images.
        side: their typical shorter side, in pixels.
    """

    images: int
    side: int


class DataSet(Section):
    """The options of every data set. A new one defines `read`, and extends `check` and `rules` if it has more to check."""

    # Whether a mirrored image still belongs to the same class.
    mirrors: ClassVar[bool] = True

    val_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the training images kept back to select the epoch, in every class."
    )
    sampler: Literal["shuffled", "balanced", "sqrt"] = Field(
        default="shuffled",
        description="Which images an epoch shows. shuffled: each one once; balanced: equally many of each class, repeating the "
        "images of rare classes; sqrt: in proportion to the square root of each class's size.",
    )
    max_train: int | None = Field(
        default=None, ge=1, examples=[6400], description="Use only the first images of each class, this many in all."
    )
    max_test: int | None = Field(default=None, ge=1, examples=[1000], description="The same for the test images.")
    folds: int | None = Field(
        default=None,
        ge=2,
        examples=[5],
        description="Number of stratified folds of the training images: `fold` validates, the others train, and the test images "
        "are not used. Replaces `val_fraction`; `zoo train --folds` trains one run per fold. null: no folds.",
    )
    fold: int = Field(default=0, ge=0, description="Which of the `folds` validates, counted from 0.")

    def read(self) -> tuple[list[str], Split, Split | None]:
        """Return the class names, the training images and the test images.

        Raises:
            ZooError: the images are missing or damaged.
        """
        raise NotImplementedError

    def load(self, seed: int, image_size: int, expected: Mapping[str, Any] | None = None) -> Splits:
        """Return the splits train, val (kept back to select the epoch) and test.

        Args:
            seed: the seed of the random choice of val.
            image_size: side in pixels of the largest training images; image folders are stored at a size that suffices
                for it.
            expected: plain values of the checkpoint to resume from, None for a new run; see `check_unchanged`.

        Raises:
            ZooError: the images are missing, damaged, or differ from those that the checkpoint was trained on.
        """
        from zoo.data.changes import check_unchanged
        from zoo.data.splits import make_splits

        found = make_splits(*self.read(), **self.limits(), seed=seed)
        check_unchanged(found, expected)
        return found

    def outline(self, seed: int) -> Outline:
        """Return the number and size of the training images.

        Raises:
            ZooError: as `load` does.
        """
        train = self.load(seed, 1).train
        return Outline(len(train), train.pixels.images.shape[-1])

    def check(self) -> None:
        """Check the options with the standard library alone, before heavy imports.

        Raises:
            ZooError: the images cannot be where the options say.
        """

    def rules(self) -> Iterator[tuple[str, str]]:
        """Yield conflicts between options: the key at fault, and a text that says what to do."""
        if self.folds is None and self.fold:
            yield "fold", f"{self.fold}, but data.folds is null (give the number of folds, e.g. data.folds=5)"
        if self.folds is not None and self.fold >= self.folds:
            yield "fold", f"{self.fold}, but data.folds is {self.folds} (give 0 to {self.folds - 1})"
        usual = type(self).model_fields["val_fraction"].default
        if self.folds is not None and self.val_fraction != usual:
            text = f"{self.val_fraction:g}, but data.folds {self.folds} chooses the validation images"
            yield "val_fraction", f"{text} (leave it out, or set it to its default {usual:g})"
        count = self.class_count()
        if self.max_train is not None and count is not None and self.max_train < count:
            yield "max_train", f"{self.max_train} images for {count} classes (give at least {count})"

    def class_count(self) -> int | None:
        """Return the number of classes, or None if only the images show it."""
        return None

    def limits(self) -> dict[str, Any]:
        """Return the options that all data sets share, as arguments of `make_splits`."""
        from zoo.data.splits import Fold

        kept_back = self.val_fraction if self.folds is None else Fold(self.fold, self.folds)
        return {"val_fraction": kept_back, "max_train": self.max_train, "max_test": self.max_test}
