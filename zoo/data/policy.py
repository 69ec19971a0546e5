"""Options of augmentation policies: the random operations that are applied to each image, and their strengths.

Each policy makes its own draws (numpy, per image, from the step's generator); `operations.py` applies them. The methods, their
operations and their magnitudes follow the papers, as implemented in torchvision. Pixels are moved by a share of the image's
side, so that the effect is the same at each size in a run whose images grow.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from zoo.section import Section, kind_or_mapping

if TYPE_CHECKING:
    import numpy as np

# The operations; a draw has the index of one.
OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "color", "contrast", "sharpness"),
    *("posterize", "solarize", "auto_contrast", "equalize", "invert"),
)
# Operations whose strength may be positive or negative.
SIGNED = frozenset(OPERATIONS[1:10])
# Strength of each operation at a magnitude of 1: slopes of a shear, shares of the side, degrees, factors minus 1, bits that are
# lost, and the share of the brightness range, counted from the top, in which pixels are inverted.
USUAL = {
    **dict.fromkeys(("shear_x", "shear_y"), 0.3),
    **dict.fromkeys(("translate_x", "translate_y"), 150 / 331),
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), 0.9),
    "rotate": 30.0,
    "posterize": 4.0,
    "solarize": 1.0,
}
# TrivialAugment's wide ranges; images move by up to 32 of the 224 pixels that it was made for.
WIDE = {
    **dict.fromkeys(("shear_x", "shear_y", "brightness", "color", "contrast", "sharpness"), 0.99),
    **dict.fromkeys(("translate_x", "translate_y"), 32 / 224),
    "rotate": 135.0,
    "posterize": 6.0,
    "solarize": 1.0,
}
# AugMix moves images less, and keeps at most four bits (MIXED_BITS).
MIXED = USUAL | dict.fromkeys(("translate_x", "translate_y"), 1 / 3)
# Number of equal steps of the magnitude from 0 to 1.
BINS = 30
# The same for AutoAugment and AugMix.
FEW_BINS = 9
# Bits that posterize keeps at a magnitude of 0; MIXED_BITS in AugMix.
BITS = 8
MIXED_BITS = 4
# AutoAugment's policies (Cubuk et al. 2019, tables 7 and 9): 25 pairs of operations, each with its probability and magnitude.
IMAGENET = """
    posterize 0.4 8 rotate 0.6 9, solarize 0.6 5 auto_contrast 0.6 0, equalize 0.8 0 equalize 0.6 0,
    posterize 0.6 7 posterize 0.6 6, equalize 0.4 0 solarize 0.2 4, equalize 0.4 0 rotate 0.8 8,
    solarize 0.6 3 equalize 0.6 0, posterize 0.8 5 equalize 1.0 0, rotate 0.2 3 solarize 0.6 8,
    equalize 0.6 0 posterize 0.4 6, rotate 0.8 8 color 0.4 0, rotate 0.4 9 equalize 0.6 0,
    equalize 0.0 0 equalize 0.8 0, invert 0.6 0 equalize 1.0 0, color 0.6 4 contrast 1.0 8,
    rotate 0.8 8 color 1.0 2, color 0.8 8 solarize 0.8 7, sharpness 0.4 7 invert 0.6 0,
    shear_x 0.6 5 equalize 1.0 0, color 0.4 0 equalize 0.6 0, equalize 0.4 0 solarize 0.2 4,
    solarize 0.6 5 auto_contrast 0.6 0, invert 0.6 0 equalize 1.0 0, color 0.6 4 contrast 1.0 8,
    equalize 0.8 0 equalize 0.6 0
"""
CIFAR10 = """
    invert 0.1 0 contrast 0.2 6, rotate 0.7 2 translate_x 0.3 9, sharpness 0.8 1 sharpness 0.9 3,
    shear_y 0.5 8 translate_y 0.7 9, auto_contrast 0.5 0 equalize 0.9 0, shear_y 0.2 7 posterize 0.3 7,
    color 0.4 3 brightness 0.6 7, sharpness 0.3 9 brightness 0.7 9, equalize 0.6 0 equalize 0.5 0,
    contrast 0.6 7 sharpness 0.6 5, color 0.7 7 translate_x 0.5 8, equalize 0.3 0 auto_contrast 0.4 0,
    translate_y 0.4 3 sharpness 0.2 6, brightness 0.9 6 color 0.2 8, solarize 0.5 2 invert 0.0 0,
    equalize 0.2 0 auto_contrast 0.6 0, equalize 0.2 0 equalize 0.6 0, color 0.9 9 equalize 0.6 0,
    auto_contrast 0.8 0 solarize 0.2 8, brightness 0.1 3 color 0.7 0, solarize 0.4 5 auto_contrast 0.9 0,
    translate_y 0.9 9 translate_y 0.7 9, auto_contrast 0.9 0 solarize 0.8 3, equalize 0.8 0 invert 0.1 0,
    translate_y 0.7 9 auto_contrast 0.9 0
"""


@dataclass(frozen=True)
class Draws:
    """The operations of a global batch of G images, K for each image, in order.

    Attributes:
        operation: int8 [K, G], indices in `OPERATIONS`.
        strength: float64 [K, G], in the unit of the operation, as in `USUAL`; but the number of bits to keep for posterize,
            and for solarize the value, of 255, from which pixels are inverted.
        weights: float64 [1 + chains, G], the shares of the image itself and of the result of each chain in the mixture; None
            if nothing is mixed.
    """

    operation: np.ndarray
    strength: np.ndarray
    weights: np.ndarray | None = None


class NoPolicy(Section):
    """No operations."""

    kind: Literal["none"] = "none"

    def draw(self, generator: np.random.Generator, count: int) -> Draws | None:
        """Return None: nothing is drawn."""
        return None


class RandAugment(Section):
    """Some operations of 14, at one magnitude (RandAugment, Cubuk et al. 2020)."""

    kind: Literal["rand_augment"] = "rand_augment"
    operations: int = Field(default=2, ge=1, le=8, description="Operations an image goes through.")
    magnitude: int = Field(default=9, ge=0, le=30, description="Strength of all of them, from 0 to 30.")

    def draw(self, generator: np.random.Generator, count: int) -> Draws:
        """Draw operations uniformly, and the signs of their strengths."""
        import numpy as np

        shape = (self.operations, count)
        # All operations except invert.
        operation = generator.integers(0, len(OPERATIONS) - 1, shape, dtype=np.int8)
        magnitude = np.full(shape, self.magnitude / BINS)
        return Draws(operation, strengths(operation, magnitude, generator.random(shape) < 0.5, USUAL))


class TrivialAugment(Section):
    """One operation of 14, at any magnitude up to very strong ones (TrivialAugment Wide, Müller and Hutter 2021)."""

    kind: Literal["trivial_augment"] = "trivial_augment"

    def draw(self, generator: np.random.Generator, count: int) -> Draws:
        """Draw operations and magnitudes uniformly, and the signs of the strengths."""
        import numpy as np

        shape = (1, count)
        operation = generator.integers(0, len(OPERATIONS) - 1, shape, dtype=np.int8)
        magnitude = generator.integers(0, BINS + 1, shape) / BINS
        return Draws(operation, strengths(operation, magnitude, generator.random(shape) < 0.5, WIDE))


class AutoAugment(Section):
    """Pairs of operations that were found by search (AutoAugment, Cubuk et al. 2019)."""

    kind: Literal["auto_augment"] = "auto_augment"
    found_on: Literal["imagenet", "cifar10"] = Field(default="imagenet", description="The data set that the pairs were found on.")

    def draw(self, generator: np.random.Generator, count: int) -> Draws:
        """Draw one of 25 pairs for each image, which of its operations are applied, and the signs of their strengths."""
        import numpy as np

        pairs = np.array(_parsed(IMAGENET if self.found_on == "imagenet" else CIFAR10))  # [25, 2, 3]
        chosen = pairs[generator.integers(0, len(pairs), count)].transpose(2, 1, 0)  # [3, 2, G]
        happens, negative = generator.random((2, count)) <= chosen[1], generator.random((2, count)) < 0.5
        operation = np.where(happens, chosen[0], 0).astype(np.int8)
        return Draws(operation, strengths(operation, chosen[2] / FEW_BINS, negative, USUAL))


class AugMix(Section):
    """A mixture of the image and the results of chains of up to three operations on it (AugMix, Hendrycks et al. 2020)."""

    kind: Literal["aug_mix"] = "aug_mix"
    severity: int = Field(default=3, ge=1, le=10, description="The strongest magnitude, from 1 to 10.")
    chains: int = Field(default=3, ge=1, le=8, description="Chains that are mixed.")
    alpha: float = Field(default=1.0, gt=0, description="Alpha of the Beta and Dirichlet distributions of the mixture's shares.")

    def draw(self, generator: np.random.Generator, count: int) -> Draws:
        """Draw the operations of all chains, and the shares of the mixture."""
        import numpy as np

        depth = 3
        shape = (self.chains, depth, count)
        # All operations except identity and invert.
        operation = generator.integers(1, len(OPERATIONS) - 1, shape, dtype=np.int8)
        shorter = np.arange(depth)[None, :, None] >= generator.integers(1, depth + 1, (self.chains, 1, count))
        operation = np.where(shorter, 0, operation).astype(np.int8).reshape(-1, count)
        magnitude = generator.integers(0, self.severity, operation.shape) / FEW_BINS
        strength = strengths(operation, magnitude, generator.random(operation.shape) < 0.5, MIXED, MIXED_BITS)
        own = generator.beta(self.alpha, self.alpha, count)  # [G]
        shares = generator.dirichlet([self.alpha] * self.chains, count).T * (1 - own)  # [chains, G]
        return Draws(operation, strength, np.concatenate([own[None], shares]))


Policy = Annotated[
    NoPolicy | RandAugment | TrivialAugment | AutoAugment | AugMix,
    Field(discriminator="kind"),
    kind_or_mapping("none", "rand_augment", "trivial_augment", "auto_augment", "aug_mix"),
]


def strengths(
    operation: np.ndarray, magnitude: np.ndarray, negative: np.ndarray, most: Mapping[str, float], bits: int = BITS
) -> np.ndarray:
    """Return the strength of operations in their own units.

    Args:
        operation: int8 of any shape, indices in `OPERATIONS`.
        magnitude: float of the same shape, from 0 to 1.
        negative: bool of the same shape, whether the strength of an operation in `SIGNED` is negative.
        most: the strength of each operation at a magnitude of 1.
        bits: the bits that posterize keeps at a magnitude of 0.

    Returns:
        float64 of the same shape; see `Draws.strength`.
    """
    import numpy as np

    scale = np.array([most.get(name, 0.0) for name in OPERATIONS])[operation]
    signed = np.array([name in SIGNED for name in OPERATIONS])[operation]
    strength = magnitude * scale * np.where(negative & signed, -1, 1)
    posterize, solarize = (operation == OPERATIONS.index(name) for name in ("posterize", "solarize"))
    strength = np.where(posterize, bits - np.round(strength), strength)
    return np.where(solarize, 255 * (1 - strength), strength)


@functools.cache
def _parsed(table: str) -> list[list[tuple[float, float, float]]]:
    """Parse a table into pairs of operations, each as (index in `OPERATIONS`, probability, magnitude)."""
    found = []
    for line in table.split(","):
        words = line.split()
        triples = [words[:3], words[3:]]
        found.append([(float(OPERATIONS.index(name)), float(share), float(magnitude)) for name, share, magnitude in triples])
    return found
