"""Make the images of a training step as the step itself does, without a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.data.batches import Batches
from zoo.data.resize import Normalize
from zoo.errors import ZooError
from zoo.recipe.recipe import Recipe
from zoo.report.seen import Seen, draw_sheet, labels_of
from zoo.section import decided
from zoo.training.auto import decide
from zoo.training.budget import UNKNOWN_STEPS
from zoo.training.checks import check_data
from zoo.training.inputs import Inputs, load_images, preprocessing_of
from zoo.training.state import epoch_batches, steps_of


@dataclass(frozen=True)
class StepImages:
    """The first images of a training step.

    Attributes:
        step: counted from 0.
        positions: int64 [G], the images of the whole step, as positions in the training split.
        images: float32 [n, 3, T, T], as the model gets them.
        targets: int64 [n], or float32 [n, C] where images were mixed.
    """

    step: int
    positions: np.ndarray
    images: Tensor
    targets: Tensor


def batches_alone(inputs: Inputs) -> Batches:
    """Return the training batches of a data set on the CPU."""
    return Batches(inputs.data.train, preprocessing_of(inputs), len(inputs.data.classes), torch.device("cpu"))


def images_of_step(recipe: Recipe, train: Batches, step: int, count: int, steps: int | None = None) -> StepImages:
    """Make the images of a step as `fit` does.

    Args:
        recipe: of the run.
        train: its training images.
        step: counted from 0.
        count: most images to make.
        steps: steps of the whole run; None computes them from the recipe. A run with `train.max_minutes` that has not ended
            counts as endless, so that its images are those of the start of the schedule.

    Raises:
        ZooError: the run has fewer steps.
    """
    batch_size = decided(recipe.train.batch_size)
    per_epoch = steps_of(len(train), batch_size)
    if steps is None:
        steps = UNKNOWN_STEPS if recipe.train.max_minutes is not None else per_epoch * decided(recipe.train.epochs)
    if not 0 <= step < steps:
        raise ZooError("--step", f"{step}, but the run has steps 0 to {steps - 1}", "give one of them")
    epoch, within = divmod(step, per_epoch)
    seed = recipe.train.seed
    positions = epoch_batches(seed, epoch, train, batch_size, recipe.data.sampler)[within]
    size = recipe.image_size.at(step, steps)
    mixes = recipe.augment.mixes(step, steps)
    images, targets = train.training(positions, slice(0, count), size, recipe.augment, seed, step, mixes=mixes)
    return StepImages(step, positions, images, targets)


def seen(found: StepImages, train: Batches, normalize: Normalize, classes: tuple[str, ...]) -> Seen:
    """Return the images of a step as pixels, with their labels and names."""
    shares = normalize.invert(found.images).clamp(0, 1)
    shown = found.positions[: len(found.images)]
    return Seen(
        step=found.step,
        total=len(found.positions),
        pixels=(shares * 255).round().to(torch.uint8).cpu().contiguous().numpy(),
        labels=labels_of(found.targets.cpu().numpy(), classes),
        names=train.split.take(shown).names(),
    )


def draw_step(recipe: Recipe, step: int, count: int, path: Path) -> str:
    """Draw the images of a step as PNG; return a line that says what was drawn.

    Args:
        recipe: of a run that need not have started.
        step: counted from 0.
        count: most images to draw.
        path: the picture.

    Raises:
        ZooError: the data cannot be loaded or does not fit the recipe, there is no such step, or the picture cannot be written.
    """
    recipe = decide(recipe).recipe
    inputs = load_images(recipe)
    check_data(recipe, inputs.data, processes=1)
    train = batches_alone(inputs)
    found = images_of_step(recipe, train, step, count)
    shown = seen(found, train, preprocessing_of(inputs).normalize, inputs.data.classes)
    try:
        draw_sheet(shown, path, str(recipe.name))
    except OSError as error:
        raise ZooError("--batch", f"{path}: cannot be written: {error.strerror}", "give another file") from None
    return f"{path}: {shown.about()}"
