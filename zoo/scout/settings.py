"""The settings of a scouting, and the request that is sent to a worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# The value that means each backbone's own image size.
NATIVE = "native"
# The key under which a worker process sends a line for the user, besides the columns of its row.
WARNING = "warning"


@dataclass(frozen=True)
class Settings:
    """The settings of a comparison. Rows with different settings are never mixed.

    Attributes:
        recipe: recipe of the fine-tune whose minutes are predicted, as `Recipe.model_dump(mode="json")` returns it; its
            backbone is replaced by each candidate.
        image_size: side in pixels of the images for the features, or `native`.
        max_images: maximum number of images; None for all.
        folds: number of folds, 3 or more.
    """

    recipe: Mapping[str, Any]
    image_size: int | str
    max_images: int | None
    folds: int


@dataclass(frozen=True)
class Candidate:
    """A backbone to measure.

    Attributes:
        name: timm name with its tag.
        control: whether it is the control, which has random weights and no prediction of the fine-tune.
    """

    name: str
    control: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        """The key of the candidate's row."""
        return self.name, self.control


@dataclass(frozen=True)
class Request:
    """A request to a worker process to measure one backbone.

    Attributes:
        candidate: the backbone.
        recipe: recipe of the settings, with this backbone.
        image_size: side in pixels of the images for the features.
        store_size: largest side in pixels for which the stored images are made.
        positions: int64 [N], positions of the images in train followed by val.
        fold: int64 [N], fold of each image.
        digest: digest of the pixels of these images.
        data: name of the data, for `zoo cache`.
    """

    candidate: Candidate
    recipe: Mapping[str, Any]
    image_size: int
    store_size: int
    positions: np.ndarray
    fold: np.ndarray
    digest: str
    data: str
