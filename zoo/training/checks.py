"""Checks of the data and the model against the recipe, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from zoo.data.splits import Splits
from zoo.errors import ZooError
from zoo.models.layers import batch_norms
from zoo.recipe.recipe import Recipe
from zoo.section import decided
from zoo.training.state import steps_of


def check_data(recipe: Recipe, data: Splits, processes: int) -> None:
    """Check that the data fits the recipe.

    Raises:
        ZooError: too few images for the batch size or the processes, or no validation images where they are needed.
    """
    size, count = decided(recipe.train.batch_size), len(data.train)
    if size > count:
        raise ZooError("train.batch_size", f"{size}, but only {count} training images", "lower it")
    micro = _micro_batches(recipe)
    if _smallest_step(recipe, data) < processes * micro:
        raise ZooError("train.batch_size", f"{size} is too small for {processes} processes x {micro} micro-batches", "raise it")
    if data.val is None and recipe.eval.select_by != "last":
        what = f"{recipe.eval.select_by} needs validation images, and there are none"
        raise ZooError("eval.select_by", what, "raise data.val_fraction, or set eval.select_by: last")
    if data.val is None and recipe.eval.temperature == "fit":
        todo = "raise data.val_fraction, or set eval.temperature: none"
        raise ZooError("eval.temperature", "fit needs validation images, and there are none", todo)


def check_norms(recipe: Recipe, data: Splits, processes: int, model: nn.Module, frozen: Sequence[nn.Module]) -> None:
    """Check that no micro-batch has a single image if BatchNorm trains: one image has no statistics.

    Raises:
        ZooError: a micro-batch could have a single image.
    """
    fixed = {id(module) for module in frozen}
    if all(id(norm) in fixed for _, norm in batch_norms(model)):
        return
    if _smallest_step(recipe, data) < 2 * processes * _micro_batches(recipe):
        todo = "raise it, or set finetune.batch_norm: frozen"
        raise ZooError("train.batch_size", "leaves a micro-batch with a single image, too few for BatchNorm", todo)


def _micro_batches(recipe: Recipe) -> int:
    """Return the micro-batches per process that the recipe asks for; 1 for `auto`, whose choice leaves none of them empty."""
    return recipe.train.accumulate if isinstance(recipe.train.accumulate, int) else 1


def _smallest_step(recipe: Recipe, data: Splits) -> int:
    """Return the number of images in the smallest step; the steps of an epoch differ by at most one image."""
    count = len(data.train)
    return count // steps_of(count, decided(recipe.train.batch_size))
