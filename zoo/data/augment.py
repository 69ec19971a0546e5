"""Options of augmentation: the random crops, flips, color changes and mixtures of a training batch.

Each crop draws its own boxes (numpy, per image, from the step's generator). draws.py makes the other draws, and batches.py
applies them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from zoo.data.policy import NoPolicy, Policy
from zoo.section import Section, kind_or_mapping

if TYPE_CHECKING:
    import numpy as np


def center_square(aspects: np.ndarray) -> np.ndarray:
    """Return the largest square in the middle of each image.

    Args:
        aspects: float [N], width over height.

    Returns:
        float [N, 4]: (x0, y0, x1, y1) as shares of width and height, from 0 to 1.
    """
    import numpy as np

    half = np.stack([np.minimum(1 / aspects, 1), np.minimum(aspects, 1)], axis=1) / 2  # [N, 2]
    return np.concatenate([0.5 - half, 0.5 + half], axis=1)


class NoCrop(Section):
    """The largest square in the middle, always the same."""

    kind: Literal["none"] = "none"

    def boxes(self, generator: np.random.Generator, aspects: np.ndarray, side: int) -> np.ndarray:
        """Return the square in the middle, float [N, 4]; nothing is drawn."""
        return center_square(aspects)


class PadShift(Section):
    """The largest square in the middle, shifted by up to `pad` / 32 of its side each way; the image is mirrored at its edges."""

    kind: Literal["pad_shift"] = "pad_shift"
    pad: int = Field(default=4, ge=0, le=16, description="Largest shift, in 32nds of the square's side.")

    def boxes(self, generator: np.random.Generator, aspects: np.ndarray, side: int) -> np.ndarray:
        """Draw shifted squares, float [N, 4]; shifts are multiples of 1 / `side` of the square, like whole pixels of padding."""
        import numpy as np

        square = center_square(aspects)  # [N, 4]
        reach = self.pad / 32
        shift = np.round(generator.uniform(-reach, reach, (len(aspects), 2)) * side) / side  # [N, 2]
        return square + np.tile(shift, 2) * np.tile(square[:, 2:] - square[:, :2], 2)


class RandomResized(Section):
    """A random part of the image, enlarged to the training size (Inception's crop, Szegedy et al. 2015)."""

    kind: Literal["random_resized"] = "random_resized"
    scale: tuple[float, float] = Field(
        default=(0.35, 1.0), strict=False, description="Least and largest share of the image's area."
    )
    ratio: tuple[float, float] = Field(default=(3 / 4, 4 / 3), strict=False, description="Least and largest width over height.")

    @field_validator("scale")
    @classmethod
    def _share(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError(f"must be two shares with 0 < least <= largest <= 1, found {list(value)} (e.g. [0.35, 1.0])")
        return value

    @field_validator("ratio")
    @classmethod
    def _shape(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError(f"must be two ratios with 0 < least <= largest, found {list(value)} (e.g. [0.75, 1.3333])")
        return value

    def boxes(self, generator: np.random.Generator, aspects: np.ndarray, side: int) -> np.ndarray:
        """Draw boxes of random area and aspect ratio inside the image, float [N, 4].

        torchvision tries ten times and then takes the center. Here a box that does not fit is clipped to the image, and in
        very wide or tall images it is clipped further to stay within `ratio`.
        """
        import numpy as np

        count = len(aspects)
        area = generator.uniform(*self.scale, count)
        shape = np.exp(generator.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), count))
        # In an image of W x H pixels the box is sqrt(area * W * H * shape) wide; divided by W, sqrt(area * shape / aspect).
        width = np.sqrt(area * shape / aspects)
        height = np.sqrt(area / shape * aspects)
        width, height = np.minimum(width, 1), np.minimum(height, 1)
        width, height = np.minimum(width, height * self.ratio[1] / aspects), np.minimum(height, width * aspects / self.ratio[0])
        left = generator.uniform(0, 1, count) * (1 - width)
        top = generator.uniform(0, 1, count) * (1 - height)
        return np.stack([left, top, left + width, top + height], axis=1)


Crop = Annotated[
    NoCrop | PadShift | RandomResized,
    Field(discriminator="kind"),
    kind_or_mapping("none", "pad_shift", "random_resized"),
]


class Augment(Section):
    """Random variations of training images. Evaluation images have none."""

    crop: Crop = Field(default=PadShift(), description="Which part of the image is seen.")
    hflip: bool | Literal["auto"] = Field(
        default="auto",
        description="Mirror half of the images. auto: on, except for digits and with cached features.",
    )
    vflip: bool = Field(
        default=False, description="Flip half of the images top to bottom: for images without a right way up, such as from above."
    )
    rotate: float = Field(
        default=0.0, ge=0, le=180, description="Largest rotation in degrees, either way; beyond the edge the image is mirrored."
    )
    color_jitter: float = Field(default=0.0, ge=0, lt=1, description="Brightness, contrast and saturation by up to this share.")
    policy: Policy = Field(default=NoPolicy(), description="Random operations on colors and shapes.")
    erase: float = Field(default=0.0, ge=0, le=1, description="Probability of blanking a rectangle (Zhong et al. 2020).")
    mixup: float = Field(default=0.0, ge=0, description="Alpha of mixup (Zhang et al. 2018); 0 is off.")
    cutmix: float = Field(default=0.0, ge=0, description="Alpha of CutMix (Yun et al. 2019); 0 is off.")
    mix_until: float = Field(default=1.0, gt=0, le=1, description="Share of the steps after which mixing stops.")

    def mixes(self, step: float, steps: int) -> bool:
        """Check whether images may be mixed at `step` (counted from 0) of a run of `steps` steps."""
        return step < self.mix_until * steps
