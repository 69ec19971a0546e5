"""Make batches on the model's device, without worker processes: gather, crop, flip, resize, normalize, mix.

The random draws of a batch are a function of (seed, step). They are made for the whole global batch and then sliced, so that
the images are the same for any number of processes and micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data import border, color, operations, rng
from zoo.data.augment import Augment
from zoo.data.draws import Drawn, draw
from zoo.data.operations import Turns
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize, resample
from zoo.data.rng import generator_of
from zoo.data.splits import Split
from zoo.data.transfer import Transfer
from zoo.data.views import FIVE_CROP
from zoo.system.device import free_memory, memory_format

# Largest share of a GPU's free memory for which a whole store is kept on the GPU: each image is then copied only once.
RESIDENT_SHARE = 0.4
# Bytes of a store that are copied to a GPU at a time.
PIECE = 64 << 20


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing that turns pixels into a backbone's input.

    Attributes:
        normalize: mean and standard deviation of the pixels that the backbone was trained on.
        kernel: bicubic, bilinear or lanczos.
        crop: share of an image's side that evaluation shows.
        crop_mode: how an image that is not square is shown, by timm's names: `center` (a center crop), `border` (all of it,
            with a border) or `squash` (all of it, squashed to a square).
    """

    normalize: Normalize
    kernel: str
    crop: float
    crop_mode: str = "center"


def resident(pixels: PixelStore, device: torch.device) -> Tensor | None:
    """Copy all images of a store to a GPU, uint8 [N, 3, S, S]; return None on a CPU, or if they exceed `RESIDENT_SHARE`.

    They are copied in pieces, because this process would keep the memory that one large copy needs.
    """
    if device.type == "cpu" or pixels.images.nbytes > RESIDENT_SHARE * free_memory(device):
        return None
    there = torch.empty(pixels.images.shape, dtype=torch.uint8, device=device)
    step = max(1, PIECE // max(1, pixels.images[:1].nbytes))
    for first in range(0, len(there), step):
        piece = pixels.take(np.arange(first, min(first + step, len(there))))
        there[first : first + step].copy_(torch.from_numpy(piece))
    return there


class Batches:
    """The batches of one split.

    Args:
        split: the images and labels.
        preprocessing: the preprocessing of the backbone.
        classes: number of classes, for mixed targets.
        device: where batches are made.
        channels_last: memory format of the images.
        resident: all images of the split's store on the device, as returned by `resident`; None to copy them batch by batch.
    """

    def __init__(
        self,
        split: Split,
        preprocessing: Preprocessing,
        classes: int,
        device: torch.device,
        *,
        channels_last: bool = False,
        resident: Tensor | None = None,
    ) -> None:
        self.split, self.preprocessing, self.classes = split, preprocessing, classes
        self.device, self.channels_last = device, channels_last
        self.targets = torch.from_numpy(split.targets).to(device)
        self.resident = resident
        # The color around images that are shown with a border.
        self.fill = preprocessing.normalize.fill if preprocessing.crop_mode == "border" else None
        self.transfer = Transfer(device)

    def __len__(self) -> int:
        return len(self.split)

    def training(
        self, positions: np.ndarray, part: slice, size: int, augment: Augment, seed: int, step: int, *, mixes: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Make one training batch, or the part of it that one process takes.

        Args:
            positions: int64 [G], the images of the global batch, as positions in the split.
            part: the B images of the global batch to make.
            size: side in pixels.
            augment: the augmentation options.
            seed, step: the random draws are a function of these two.
            mixes: False to mix no images, even if `augment` has mixup or CutMix.

        Returns:
            images float32 [B, 3, size, size]; targets int64 [B], or float32 [B, classes] if images were mixed.
        """
        return self.make(self.draw(positions, augment, seed, step), part, size, augment, mixes=mixes)

    def draw(self, positions: np.ndarray, augment: Augment, seed: int, step: int) -> Drawn:
        """Make the random draws of a global batch, including those for mixing. See `training` for the arguments."""
        aspects, side = self._aspects(self.split.index[positions]), self.split.pixels.images.shape[-1]
        drawn = draw(positions, aspects, side, augment, generator_of(seed, rng.AUGMENT, step))
        if self.fill is None:
            return drawn
        return replace(drawn, boxes=border.training_boxes(drawn.boxes, self.split.pixels.aspects[self.split.index[positions]]))

    def make(self, drawn: Drawn, part: slice, size: int, augment: Augment, *, mixes: bool = True) -> tuple[Tensor, Tensor]:
        """Make a part of a global batch from its random draws. See `training` for the arguments and the result."""
        return self.finish(self.gather(drawn, part), size, augment, mixes=mixes)

    def gather(self, drawn: Drawn, part: slice) -> Gathered:
        """Do the CPU's work for a part of a global batch: look up its images, and start to copy them to the device.

        It may be called from another thread, several steps ahead.
        """
        rows = np.arange(len(drawn.positions))[part]
        ours, theirs = self._fetch(drawn, rows), None
        if drawn.partner is not None and len(rows) < len(drawn.positions):
            # A partner may belong to another process. It is then made here too, from the same draws.
            theirs = self._fetch(drawn, drawn.partner[rows])
        return Gathered(ours, theirs, mixed=drawn.partner is not None, copied=self.transfer.mark())

    def finish(self, gathered: Gathered, size: int, augment: Augment, *, mixes: bool = True) -> tuple[Tensor, Tensor]:
        """Make a batch on the device from the result of `gather`. See `training` for the other arguments and the result."""
        self.transfer.wait(gathered.copied, gathered.tensors())
        ours, theirs = gathered.ours, gathered.theirs
        images = self._augmented(ours, size, augment)
        targets = self.targets.index_select(0, ours.positions)
        if not gathered.mixed or not mixes:
            return images, targets
        if theirs is None:
            others, other_targets = images.index_select(0, ours.partner), targets.index_select(0, ours.partner)
        else:
            others, other_targets = self._augmented(theirs, size, augment), self.targets.index_select(0, theirs.positions)
        return self._mix(images, targets, others, other_targets, ours)

    def evaluation(self, positions: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """Make images for evaluation, as timm's `create_transform` does: Resize, CenterCrop, Normalize.

        Args:
            positions: int64 [B], positions in the split.
            size: side in pixels.

        Returns:
            images float32 [B, 3, size, size] and targets int64 [B].
        """
        aspects, crop = self.split.pixels.aspects[self.split.index[positions]], self.preprocessing.crop
        if self.fill is None:
            cuts = evaluation_boxes(self._aspects(self.split.index[positions]), size, crop)
        else:
            cuts = border.evaluation_boxes(aspects, size, crop)
        return self._shown(positions, cuts, size)

    def views(self, positions: np.ndarray, size: int, kind: str) -> Iterator[Tensor]:
        """Make several views of the same images, one view at a time.

        Args:
            positions: int64 [B], positions in the split.
            size: side in pixels.
            kind: none (the image of `evaluation`), hflip (that and its mirror image) or five_crop (the corners and the center).

        Yields:
            images float32 [B, 3, size, size].
        """
        if kind == "five_crop":
            index = self.split.index[positions]
            for cuts in five_crop_boxes(self._aspects(index), size):
                boxes = cuts if self.fill is None else border.boxes_of_image(cuts, self.split.pixels.aspects[index])
                yield self._shown(positions, boxes, size)[0]
            return
        images, _ = self.evaluation(positions, size)
        yield images
        if kind == "hflip":
            yield images.flip(3)

    def _shown(self, positions: np.ndarray, cuts: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """Crop images to boxes [B, 4] and resize them. See `evaluation` for the other arguments and the result."""
        index = self.split.index[positions]
        where, images, boxes = self.transfer.send(positions, index, cuts.astype(np.float32))
        pixels = self._pixels(index)
        sent = [where, images, boxes, *([pixels] if pixels is not None else [])]
        self.transfer.wait(self.transfer.mark(), sent)
        return self._resample(pixels, images, boxes, size, exact=True), self.targets.index_select(0, where)

    def _aspects(self, index: np.ndarray) -> np.ndarray:
        """Return the width over the height of images [B] before they are cropped, float32 [B]; 1 if they become squares first."""
        aspects = self.split.pixels.aspects[index]
        return aspects if self.preprocessing.crop_mode == "center" else np.ones_like(aspects)

    def _pixels(self, index: np.ndarray) -> Tensor | None:
        """Start to copy images [B] of the store to the device, uint8 [B, 3, S, S]; return None if the store is there already."""
        if self.resident is not None:
            return None
        pixels = self.split.pixels
        if self.device.type == "cpu":
            return torch.from_numpy(pixels.take(index))
        room = self.transfer.room((len(index), *pixels.images.shape[1:]))
        pixels.take(index, room.numpy())
        return self.transfer.copy(room)

    def _resample(self, pixels: Tensor | None, index: Tensor, boxes: Tensor, size: int, *, exact: bool = False) -> Tensor:
        """Crop, resize and normalize images of the store; float32 [B, 3, size, size].

        Args:
            pixels: uint8 [B, 3, S, S]; None to take them from `resident`.
            index: int64 [B], the images as positions in the store, on the device.
            boxes: float32 [B, 4], their crops, on the device.
            size: side in pixels.
            exact: as for `resample`.
        """
        if pixels is None:
            assert self.resident is not None
            pixels = self.resident.index_select(0, index)
        kernel, normalize = self.preprocessing.kernel, self.preprocessing.normalize
        return resample(pixels, boxes, size, kernel, normalize, channels_last=self.channels_last, exact=exact, fill=self.fill)

    def _fetch(self, drawn: Drawn, rows: np.ndarray) -> _Rows:
        """Start to copy some rows [B] of the global batch to the device: their draws and their images."""
        positions = drawn.positions[rows]
        index = self.split.index[positions]
        partner = rows if drawn.partner is None else drawn.partner[rows]
        angle = [drawn.angle] if drawn.angle is not None else []
        floats = (drawn.boxes, drawn.factors, drawn.holes, drawn.ratio, drawn.cut, *angle)
        plain = (positions, index, partner, *(values[rows].astype(np.float32) for values in floats))
        policy = operations.prepare(drawn.policy, rows)
        sent = self.transfer.send(*plain, *policy.arrays)
        turns = policy.on_device(sent[len(plain) :]) if policy.groups else None
        return _Rows(self._pixels(index), *sent[: len(plain)], turns=turns)

    def _augmented(self, rows: _Rows, size: int, augment: Augment) -> Tensor:
        """Make the images of some rows [B] up to the point of mixing; float32 [B, 3, size, size]."""
        images = self._resample(rows.pixels, rows.index, rows.boxes, size)
        normalize = self.preprocessing.normalize
        if rows.angle is not None:
            layout = memory_format(self.channels_last)
            images = operations.rotate(images, rows.angle).contiguous(memory_format=layout)
        if rows.turns is not None:
            # Operations expect whole numbers from 0 to 255, like the uint8 crops that torchvision applies them to.
            pixels = normalize.invert(images).mul_(255).round_().clamp_(0, 255)
            fill = tuple(255 * mean for mean in normalize.mean)
            images = normalize.apply(operations.apply(pixels, rows.turns, fill))
        if augment.color_jitter:
            shares = color.jitter(normalize.invert(images), rows.factors)
            images = normalize.apply(shares.mul_(255))
        if augment.erase:
            hole = box_mask(rows.holes, size)  # [B, 1, H, W]
            images.masked_fill_(hole, 0.0)
        return images

    def _mix(self, images: Tensor, targets: Tensor, others: Tensor, other_targets: Tensor, rows: _Rows) -> tuple[Tensor, Tensor]:
        """Mix images [B, 3, H, W] and targets int64 [B] with their partners; targets become float32 [B, classes]."""
        size = images.shape[-1]
        patch = box_mask(rows.cut, size)  # [B, 1, H, W]
        blend = rows.ratio.view(-1, 1, 1, 1)  # [B, 1, 1, 1]
        mixed = torch.where(patch, others, torch.lerp(others, images, blend))
        if self.channels_last:
            mixed = mixed.contiguous(memory_format=torch.channels_last)
        # An image's share of the target is its share of the pixels in the mixture.
        own = (blend.flatten() * (1 - patch.float().mean((1, 2, 3)))).unsqueeze(1)  # [B, 1]
        hot, other_hot = (torch.nn.functional.one_hot(t, self.classes).float() for t in (targets, other_targets))
        return mixed, own * hot + (1 - own) * other_hot


@dataclass(frozen=True)
class _Rows:
    """The images and draws of some rows [B] of a global batch, on the device.

    Attributes:
        pixels: uint8 [B, 3, S, S]; None if all images of the store are on the device.
        positions: int64 [B], the images as positions in the split.
        index: int64 [B], the images as positions in the store.
        partner: int64 [B], the row that each is mixed with.
        boxes: float32 [B, 4].
        factors: float32 [B, 3].
        holes: float32 [B, 4].
        ratio: float32 [B].
        cut: float32 [B, 4].
        angle: float32 [B]; None if images are not rotated.
        turns: the operations of a policy; None if there are none.
    """

    pixels: Tensor | None
    positions: Tensor
    index: Tensor
    partner: Tensor
    boxes: Tensor
    factors: Tensor
    holes: Tensor
    ratio: Tensor
    cut: Tensor
    angle: Tensor | None = None
    turns: Turns | None = None

    def tensors(self) -> Iterator[Tensor]:
        """Yield all tensors."""
        yield from (value for value in vars(self).values() if isinstance(value, Tensor))
        if self.turns is not None:
            yield from self.turns.tensors()


@dataclass(frozen=True)
class Gathered:
    """A part of a global batch after the CPU's work on it.

    Attributes:
        ours: the rows of the part.
        theirs: the rows that they are mixed with; None if nothing is mixed, or if the part is the whole global batch.
        mixed: whether images are mixed.
        copied: the mark for `Transfer.wait`.
    """

    ours: _Rows
    theirs: _Rows | None
    mixed: bool
    copied: Any

    def tensors(self) -> Iterator[Tensor]:
        """Yield all tensors that were copied."""
        yield from self.ours.tensors()
        if self.theirs is not None:
            yield from self.theirs.tensors()


def evaluation_boxes(aspects: np.ndarray, size: int, crop: float) -> np.ndarray:
    """Return the center crops of timm's evaluation transform, in whole pixels of the resized image.

    Args:
        aspects: float [N], width over height.
        size: side in pixels of the result.
        crop: share of the shorter side that is shown.

    Returns:
        float64 [N, 4], (x0, y0, x1, y1) from 0 to 1.
    """
    short = int(size / crop)  # timm's `math.floor(img_size / crop_pct)`
    wide = np.where(aspects > 1, (short * aspects).astype(int), short)
    high = np.where(aspects > 1, short, (short / aspects).astype(int))
    # torchvision's center_crop: int(round((height - crop) / 2.0))
    left, top = np.round((wide - size) / 2), np.round((high - size) / 2)
    return np.stack([left / wide, top / high, (left + size) / wide, (top + size) / high], axis=1)


def five_crop_boxes(aspects: np.ndarray, size: int) -> np.ndarray:
    """Return the boxes of torchvision's `five_crop` in images that were resized to `size` / `FIVE_CROP`.

    Args:
        aspects: float [N], width over height.
        size: side in pixels of the result.

    Returns:
        float64 [5, N, 4], (x0, y0, x1, y1) from 0 to 1: top left, top right, bottom left, bottom right, center.
    """
    center = evaluation_boxes(aspects, size, FIVE_CROP)
    wide, high = center[:, 2] - center[:, 0], center[:, 3] - center[:, 1]
    corners = [
        np.stack([left * (1 - wide), top * (1 - high), left * (1 - wide) + wide, top * (1 - high) + high], axis=1)
        for top in (0, 1)
        for left in (0, 1)
    ]
    return np.stack([*corners, center])


def box_mask(boxes: Tensor, size: int) -> Tensor:
    """Mark the pixels whose center is in a box: boxes float [B, 4] to bool [B, 1, size, size]."""
    centers = (torch.arange(size, device=boxes.device) + 0.5) / size
    x0, y0, x1, y1 = boxes.unsqueeze(2).unbind(1)  # [B, 1] each
    across, down = (centers >= x0) & (centers < x1), (centers >= y0) & (centers < y1)
    return (down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(1)
