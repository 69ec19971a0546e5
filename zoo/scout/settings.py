"""The settings of a scouting, and the request that a worker process gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# Stands for each backbone's own image size.
NATIVE = "native"
# What a worker process sends besides the columns of its row: a line for the user.
WARNING = "warning"


@dataclass(frozen=True)
class Settings:
    """The way backbones are compared. Rows of other settings are never mixed.

    Attributes:
        recipe: the fine-tune whose minutes are predicted, as `Recipe.model_dump(mode="json")` gives it; its backbone's name
            is replaced by each candidate's.
        image_size: side in pixels of the images that features are computed of, or `native`.
        max_images: images that are looked at, at most; None for all.
        folds: parts that the images are divided into, 3 or more.
    """

    recipe: Mapping[str, Any]
    image_size: int | str
    max_images: int | None
    folds: int


@dataclass(frozen=True)
class Candidate:
    """A backbone to measure.

    Attributes:
        name: timm's name, with its tag.
        control: whether it is the control: its weights are random, and its fine-tune is not predicted.
    """

    name: str
    control: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        """Return what tells rows apart."""
        return self.name, self.control


@dataclass(frozen=True)
class Request:
    """One backbone to measure, as it is sent to a worker process.

    Attributes:
        candidate: the backbone.
        recipe: that of the settings with this backbone.
        image_size: side in pixels of the images that features are computed of.
        store_size: the side that the stored images must be good for.
        positions: int64 [N], the images within train and val, one after the other.
        fold: int64 [N].
        digest: of the pixels of these images.
        data: the name of the data, for `zoo cache`.
    """

    candidate: Candidate
    recipe: Mapping[str, Any]
    image_size: int
    store_size: int
    positions: np.ndarray
    fold: np.ndarray
    digest: str
    data: str
