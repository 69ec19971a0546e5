"""Choose the options that a recipe leaves open: image size, epochs, batch size, mirroring, BatchNorm.

A choice depends on the recipe, the number and size of the images and the backbone's entry in the catalog, never on the
machine, so that a recipe means the same everywhere. `autotune.py` measures what is fastest on a machine.
The numbers were found with `benchmarks/accuracy.py`; `benchmarks/accuracy.md` has the tables.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.models import catalog
from zoo.recipe.recipe import Recipe
from zoo.recipe.sections import ImageSize, Train
from zoo.recipe.stages import least_epochs
from zoo.section import AUTO, S
from zoo.system.console import plural

if TYPE_CHECKING:
    from zoo.data.data_set import Outline

# Side in pixels for backbones whose size is not in the catalog.
USUAL_SIZE = 224
# Largest factor by which images are enlarged: beyond it, a larger image costs time and shows nothing new.
ENLARGED = 4
# Smallest side in pixels, however small the images are: below it, pretrained networks see little.
SMALLEST_SIZE = 64
# Chosen sides are multiples of this, in pixels: the stride of almost every backbone.
STRIDE = 32
# Image side at the start of training as a share of the side at the end.
FIRST_SIZE = 3 / 4
# Most training images for a batch size, and that batch size; with more images, the batch size is `LARGEST_BATCH`.
BATCHES = ((4_000, 32), (64_000, 64))
LARGEST_BATCH = 128
# For very few images: the fewest steps of an epoch, and the smallest batch size.
FEWEST_STEPS = 4
SMALLEST_BATCH = 2
# Images seen in training over all epochs, and the fewest and most epochs.
IMAGES_SEEN = 10_000
FEWEST_EPOCHS = 3
MOST_EPOCHS = 10
# Epochs whose weights are averaged: in a run of 3 to 10 epochs, the ones with a low learning rate.
SOUP_EPOCHS = 5


@dataclass(frozen=True)
class Decided:
    """A recipe in which no option that this module chooses is `auto` any more.

    Attributes:
        recipe: the recipe.
        reasons: what was chosen and why, one line each; empty if nothing was left open.
    """

    recipe: Recipe
    reasons: tuple[str, ...]


def decide(recipe: Recipe, outline: Callable[[], Outline] | None = None) -> Decided:
    """Choose the options that a recipe leaves open; list the images only if a choice depends on them.

    Args:
        recipe: the recipe of the run.
        outline: returns the number and the size of the images; None: list the images.

    Raises:
        ZooError: the images cannot be loaded, or are invalid.
    """
    reasons: list[str] = []
    outline = functools.cache(outline or (lambda: recipe.data.outline(recipe.train.seed)))
    size, why = _image_size(recipe, outline)
    reasons += why
    train, why = _length(recipe, outline)
    reasons += why
    augment = recipe.augment
    if augment.hflip == AUTO:
        cached = recipe.finetune.cache_features is True
        augment = _with(augment, hflip=recipe.data.mirrors and not cached)
        reasons += [] if recipe.data.mirrors else [f"augment.hflip false: {recipe.data.kind} would mean something else mirrored"]
        reasons += ["augment.hflip false: features are cached"] if cached and recipe.data.mirrors else []
    finetune = recipe.finetune
    if finetune.batch_norm == AUTO:
        pretrained = recipe.backbone.weights.kind != "random"
        frozen = pretrained or finetune.lora is not None
        finetune = _with(finetune, batch_norm="frozen" if frozen else "train")
        reasons += [] if frozen else ["finetune.batch_norm train: random weights have no statistics to keep"]
    output = recipe.output
    if output.keep_best == AUTO:
        output = _with(output, keep_best=chosen_best(train.soup))
        reasons += [] if train.soup == "none" else [f"output.keep_best {output.keep_best}: train.soup averages the best epochs"]
    changed = {"image_size": size, "train": train, "augment": augment, "finetune": finetune, "output": output}
    return Decided(_with(recipe, **changed), tuple(reasons))


def _image_size(recipe: Recipe, outline: Callable[[], Outline]) -> tuple[ImageSize, list[str]]:
    """Return the image sizes and the reasons."""
    size = recipe.image_size
    if AUTO not in (size.start, size.end):
        return size, []
    entry = catalog.named(recipe.backbone.name)
    own = (entry.image_size if entry else None) or USUAL_SIZE
    fixed = entry is not None and entry.fixed_size
    why = f"{recipe.backbone.name} was made for {own} px"
    end = size.end
    if end == AUTO:
        end = own if fixed else chosen_size(own, outline().side)
        if size.start != AUTO:
            end = max(end, size.start)
        if end != own:
            why = f"the images have {outline().side} px"
    start = size.start
    # Cached features are computed at one image size.
    fixed = fixed or recipe.finetune.cache_features is True
    if start == AUTO:
        start = end if fixed else max(STRIDE, round(FIRST_SIZE * end / STRIDE) * STRIDE) if end % STRIDE == 0 else end
    # Sides in between are multiples of the stride as well.
    changed = {} if "multiple" in size.model_fields_set else {"multiple": STRIDE}
    pixels = f"{end} px" if start == end else f"{start} to {end} px"
    return _with(size, start=start, end=end, **changed), [f"image_size {pixels}: {why}"]


def chosen_size(own: int, side: int) -> int:
    """Return the side in pixels of training images.

    Args:
        own: the side that the backbone was made for.
        side: the side of the stored images.
    """
    useful = max(SMALLEST_SIZE, math.ceil(ENLARGED * side / STRIDE) * STRIDE)
    return min(own, useful)


def _length(recipe: Recipe, outline: Callable[[], Outline]) -> tuple[Train, list[str]]:
    """Return the training section with batch size and epochs chosen, and the reasons."""
    train, reasons = recipe.train, list[str]()
    if train.batch_size == AUTO:
        least = train.accumulate if train.accumulate != AUTO else 1
        train = _with(train, batch_size=max(least, chosen_batch_size(outline().images)))
        reasons.append(f"train.batch_size {train.batch_size}")
    if train.epochs == AUTO and train.max_minutes is None:
        least = max(math.ceil(recipe.schedule.warmup_epochs), least_epochs(recipe.finetune))
        train = _with(train, epochs=max(least, chosen_epochs(outline().images)))
        reasons.append(f"train.epochs {train.epochs}")
    return train, [f"{', '.join(reasons)}: {plural(outline().images, 'training image')}"] if reasons else []


def chosen_batch_size(images: int) -> int:
    """Return the batch size for a number of training images."""
    size = next((size for most, size in BATCHES if images <= most), LARGEST_BATCH)
    return min(size, max(SMALLEST_BATCH, images // FEWEST_STEPS))


def chosen_epochs(images: int) -> int:
    """Return the number of epochs for a number of training images."""
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(IMAGES_SEEN / max(1, images))))


def chosen_best(soup: str) -> int:
    """Return the number of best checkpoints to keep, for a value of `train.soup`."""
    return 1 if soup == "none" else SOUP_EPOCHS


def _with(section: S, **values: object) -> S:
    """Return a section with some options changed."""
    return section.model_copy(update=values)
