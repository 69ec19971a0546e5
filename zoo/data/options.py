"""Data sets as option classes: each holds its fields and turns itself into splits of pixels.

The splits of a data set are train, val (kept back for model selection) and test. A new data set
is one class here and its name in `Data`. Numpy is imported where it is used: a recipe is checked without it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from zoo.section import Section, kind_or_mapping

if TYPE_CHECKING:
    from zoo.data.splits import Splits


class _Common(Section):
    val_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the training images kept back to select the epoch, in every class."
    )
    max_train: int | None = Field(
        default=None, ge=1, examples=[6400], description="Use only the first images of each class, this many in all."
    )
    max_test: int | None = Field(default=None, ge=1, examples=[1000], description="The same for the test images.")

    def limits(self) -> dict[str, Any]:
        """The fields that every data set has."""
        return {"val_fraction": self.val_fraction, "max_train": self.max_train, "max_test": self.max_test}


class _Torchvision(_Common):
    root: Path = Field(
        default=Path("~/.cache/zoo/data"),
        validate_default=False,
        description="Folder of the archive, downloaded there on first use.",
    )

    def download(self, name: str, seed: int) -> Splits:
        """Load a torchvision data set."""
        from zoo.data import sources
        from zoo.data.splits import make_splits

        return make_splits(*sources.torchvision_set(name, self.root.expanduser()), **self.limits(), seed=seed)


class Cifar10(_Torchvision):
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in 10 classes."""

    kind: Literal["cifar10"] = "cifar10"

    def load(self, seed: int, image_size: int, interpolation: str) -> Splits:
        """The splits; downloads the archive on first use."""
        return self.download("CIFAR10", seed)


class Cifar100(_Torchvision):
    """CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 pixels in 100 classes."""

    kind: Literal["cifar100"] = "cifar100"

    def load(self, seed: int, image_size: int, interpolation: str) -> Splits:
        """The splits; downloads the archive on first use."""
        return self.download("CIFAR100", seed)


class FashionMnist(_Torchvision):
    """Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 gray pixels in 10 classes."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"

    def load(self, seed: int, image_size: int, interpolation: str) -> Splits:
        """The splits; downloads the archive on first use."""
        return self.download("FashionMNIST", seed)


class Folder(_Common):
    """Your own images: `root/train/CLASS/*`, with `root/val` and `root/test` beside it, or `root/CLASS/*` to be split."""

    kind: Literal["folder"] = "folder"
    root: Path = Field(examples=["photos"], description="The folder of the images.")
    test_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="Share kept back as the test set where the root has no train folder."
    )
    store_size: int | Literal["auto"] = Field(
        default="auto", description="Side in pixels at which images are kept, 8 to 4096; auto: what the training size needs."
    )

    @field_validator("store_size")
    @classmethod
    def _side(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 8 <= value <= 4096:
            raise ValueError(f"must be >= 8 and <= 4096, found {value} (or write auto)")
        return value

    def load(self, seed: int, image_size: int, interpolation: str) -> Splits:
        """The splits; decodes the images on first use."""
        from zoo.data import sources
        from zoo.data.splits import make_splits

        classes, sets, notes, files = sources.folder_set(
            Path(os.path.abspath(self.root.expanduser())),
            side=self.store_size if isinstance(self.store_size, int) else None,
            image_size=image_size,
            test_fraction=self.test_fraction,
        )
        made = make_splits(classes, sets["train"], sets.get("test"), val=sets.get("val"), **self.limits(), seed=seed, notes=notes)
        return replace(made, files=files)


class Digits(_Common):
    """scikit-learn's hand-written digits: 1,797 real images of 8 x 8 pixels, shipped inside its package."""

    kind: Literal["digits"] = "digits"
    test_fraction: float = Field(default=0.2, gt=0, lt=1, description="Share of the images kept back as the test set.")

    def load(self, seed: int, image_size: int, interpolation: str) -> Splits:
        """The splits; needs scikit-learn, no network."""
        from zoo.data import sources
        from zoo.data.splits import make_splits

        return make_splits(*sources.digits_set(self.test_fraction), **self.limits(), seed=seed)


class Synthetic(_Common):
    """Made-up images that a small network can tell apart: a pattern for each class, moved and noisy."""

    kind: Literal["synthetic"] = "synthetic"
    classes: int = Field(default=10, ge=2, description="Number of classes.")
    train_images: int = Field(default=640, ge=2, description="Number of training images.")
    test_images: int = Field(default=160, ge=1, description="Number of test images.")
    size: int = Field(default=32, ge=4, description="Side of the images in pixels.")

    def load(self, seed: int, image_size: int, interpolation: str) -> Splits:
        """The splits; drawn from a seed of their own, the same in every run."""
        from zoo.data import sources
        from zoo.data.splits import make_splits

        sets = sources.synthetic_set(self.classes, self.train_images, self.test_images, self.size)
        return make_splits(*sets, **self.limits(), seed=seed)


Data = Annotated[
    Cifar10 | Cifar100 | FashionMnist | Folder | Digits | Synthetic,
    Field(discriminator="kind"),
    kind_or_mapping("digits", "synthetic", "cifar10", "cifar100", "fashion_mnist"),
]
