"""The first stage of a run: images and weights are loaded, and the crop for evaluation is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.recipes import GOOD, load

from zoo.errors import ZooError
from zoo.training.auto import decide
from zoo.training.inputs import evaluated_as, evaluation_crop, load_images, load_inputs, preprocessing_of

LEAST = GOOD.replace("resnet18.tv_in1k", "test_resnet, weights: random")


@pytest.mark.parametrize(
    ("overrides", "native", "crop"),
    [
        ([], 0.875, 1.0),
        (["augment.crop=random_resized"], 0.875, 0.875),
        # With a share above 1, timm adds a border.
        (["augment.crop=random_resized"], 1.1, 1.0),
        (["augment.crop=random_resized", "eval.crop=0.9"], 0.875, 0.9),
    ],
)
def test_evaluation_shows_the_share_that_fits_the_training_crops(
    tmp_path: Path, overrides: list[str], native: float, crop: float
) -> None:
    recipe = load(tmp_path, LEAST, "augment.crop=pad_shift", *overrides)
    assert evaluation_crop(recipe, native) == crop
    shown = evaluated_as(recipe, {"crop_pct": native, "mean": (0.5,)})
    assert shown == {"crop_pct": crop, "crop_mode": "center", "mean": (0.5,)}


def test_images_come_without_weights_and_with_the_backbones_normalization(tmp_path: Path) -> None:
    recipe = decide(load(tmp_path, LEAST)).recipe
    found = load_images(recipe)
    assert found.found is None
    assert len(found.data.classes) == 10
    assert preprocessing_of(found).kernel == found.preprocessing["interpolation"]


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"^train\.batch_size: 999, but only 580 training images \(lower it\)$"):
        load_inputs(decide(load(tmp_path, LEAST, "train.batch_size=999")).recipe)
