"""Load the inputs of a run, the first stage of its set-up: weights, images, and the preprocessing of the images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from zoo.data.batches import Preprocessing
from zoo.data.resize import Normalize
from zoo.data.splits import Splits
from zoo.models.build import data_config
from zoo.models.weight_sources import Found
from zoo.recipe.recipe import Recipe
from zoo.section import decided
from zoo.training.checks import check_data


@dataclass(frozen=True)
class Inputs:
    """Everything that a run reads.

    Attributes:
        found: the weights to start from; None for random weights, and if none were asked for.
        data: the splits.
        preprocessing: `mean, std, interpolation, crop_pct, crop_mode` of the images, named as in timm's configuration.
    """

    found: Found | None
    data: Splits
    preprocessing: dict[str, Any]


def load_inputs(
    recipe: Recipe, processes: int = 1, resumed: dict[str, Any] | None = None, *, data: Splits | None = None
) -> Inputs:
    """Find the weights and load the data; `data` is used if it is loaded already.

    Raises:
        ZooError: weights or data cannot be loaded, or the data does not fit the recipe or is not that of the resumed run.
    """
    found = recipe.backbone.weights.find(recipe.backbone.name)
    inputs = load_images(recipe, resumed, data=data)
    check_data(recipe, inputs.data, processes)
    return replace(inputs, found=found)


def load_images(recipe: Recipe, resumed: dict[str, Any] | None = None, *, data: Splits | None = None) -> Inputs:
    """Load the data without the weights.

    Args:
        recipe: the recipe of the run.
        resumed: the plain values of the checkpoint that the run resumes from.
        data: the splits, if they are loaded already.

    Raises:
        ZooError: the data cannot be loaded, or is not that of the resumed run.
    """
    facts = data_config(recipe.backbone.name)
    data = data or recipe.data.load(recipe.train.seed, decided(recipe.image_size.end), expected=resumed)
    return Inputs(None, data, evaluated_as(recipe, facts))


def evaluated_as(recipe: Recipe, native: dict[str, Any]) -> dict[str, Any]:
    """Return the preprocessing of a recipe's images, with timm's keys and `crop_mode`; `native` is the backbone's own."""
    crop = evaluation_crop(recipe, native["crop_pct"])
    return native | {"crop_pct": crop, "crop_mode": getattr(recipe.data, "crop_mode", "center")}


def evaluation_crop(recipe: Recipe, native: float) -> float:
    """Return the share of an image's side that evaluation shows."""
    if not isinstance(recipe.eval.crop, str):
        return recipe.eval.crop
    # Above 1, timm shows a black border; here, nothing beyond the edge is shown.
    return min(1.0, native) if recipe.augment.crop.kind == "random_resized" else 1.0


def preprocessing_of(inputs: Inputs) -> Preprocessing:
    """Return the preprocessing from pixels to the backbone's input."""
    facts = inputs.preprocessing
    normalize = Normalize(facts["mean"], facts["std"])
    return Preprocessing(normalize, facts["interpolation"], facts["crop_pct"], facts["crop_mode"])
