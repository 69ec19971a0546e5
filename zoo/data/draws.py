"""Make the random draws of a global batch: crops, flips, colors, operations, holes and mixtures.

Only numpy is used, so that the numbers depend neither on the device nor on the number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.data.augment import Augment
from zoo.data.policy import Draws


@dataclass(frozen=True)
class Drawn:
    """The random draws of a global batch of G images.

    Attributes:
        positions: int64 [G], the images as positions in the split.
        boxes: float [G, 4], the crops; x0 > x1 mirrors, y0 > y1 flips top to bottom.
        factors: float [G, 3], the factors of brightness, contrast and saturation.
        holes: float [G, 4], the rectangles that are blanked.
        partner: int64 [G], the row that each image is mixed with; None if images are not mixed.
        ratio: float [G], each image's own share in mixup; 1 without mixup.
        cut: float [G, 4], the patch that the partner fills in CutMix.
        policy: the operations of `augment.policy`; None if there are none.
        angle: float [G], degrees counter-clockwise; None if images are not rotated.
    """

    positions: np.ndarray
    boxes: np.ndarray
    factors: np.ndarray
    holes: np.ndarray
    partner: np.ndarray | None
    ratio: np.ndarray
    cut: np.ndarray
    policy: Draws | None = None
    angle: np.ndarray | None = None


def draw(positions: np.ndarray, aspects: np.ndarray, side: int, augment: Augment, generator: np.random.Generator) -> Drawn:
    """Make the draws of a global batch.

    Flips, color jitter, erasing and rotation draw even when they are off, so that turning one of them on does not change the
    other draws.

    Args:
        positions: int64 [G], the images as positions in the split.
        aspects: float [G], width over height of the images.
        side: side of the stored images in pixels.
        augment: the augmentation options.
        generator: the generator of the step.
    """
    count = len(positions)
    boxes = augment.crop.boxes(generator, aspects, side)
    mirrored = generator.random(count) < 0.5
    if augment.hflip:
        boxes[mirrored] = boxes[mirrored][:, [2, 1, 0, 3]]
    strength = generator.uniform(-1, 1, (count, 3)) * augment.color_jitter
    holes = erased_boxes(generator, count, augment.erase)
    partner, ratio, cut = draw_mix(generator, count, augment)
    # These options are newer than the others. They are drawn last, so that the other draws are as in earlier versions.
    turned = generator.random(count) < 0.5
    if augment.vflip:
        boxes[turned] = boxes[turned][:, [0, 3, 2, 1]]
    angle = generator.uniform(-1, 1, count) * augment.rotate
    policy = augment.policy.draw(generator, count)
    return Drawn(positions, boxes, 1 + strength, holes, partner, ratio, cut, policy, angle if augment.rotate else None)


def erased_boxes(generator: np.random.Generator, count: int, probability: float) -> np.ndarray:
    """Draw rectangles of 2 to 33 % of the area for a share of the images, empty ones for the rest; float32 [N, 4] from 0 to 1."""
    area, shape = generator.uniform(0.02, 1 / 3, count), np.exp(generator.uniform(np.log(0.3), np.log(1 / 0.3), count))
    boxes = random_boxes(generator, np.sqrt(area * shape), np.sqrt(area / shape))
    return np.where((generator.random(count) < probability)[:, None], boxes, 0).astype(np.float32)


def draw_mix(generator: np.random.Generator, count: int, augment: Augment) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Draw how images are mixed. If both mixup and CutMix are on, each image gets one of them with equal probability.

    Returns:
        Partners int64 [count] (None if neither is on), the images' own shares float [count], and the patches that
        partners fill, float32 [count, 4].
    """
    partner = generator.permutation(count)
    cutting = generator.random(count) < (0.5 if augment.mixup and augment.cutmix else float(bool(augment.cutmix)))
    ratio, cut = np.ones(count), np.zeros((count, 4), np.float32)
    if augment.mixup:
        ratio = np.where(cutting, 1.0, generator.beta(augment.mixup, augment.mixup, count))
    if augment.cutmix:
        side = np.sqrt(1 - generator.beta(augment.cutmix, augment.cutmix, count))
        cut = np.where(cutting[:, None], random_boxes(generator, side, side), 0).astype(np.float32)
    return (partner if augment.mixup or augment.cutmix else None), ratio, cut


def random_boxes(generator: np.random.Generator, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Draw boxes of given sides (float [N]) around random centers, clipped to the image; float [N, 4] from 0 to 1."""
    center = generator.random((len(width), 2))
    half = np.stack([width, height], axis=1) / 2
    return np.clip(np.concatenate([center - half, center + half], axis=1), 0, 1)
