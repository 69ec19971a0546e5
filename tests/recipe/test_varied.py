"""Each option that varies images is listed with an override that switches it off; with all of them, none is left."""

from __future__ import annotations

from pathlib import Path

from helpers.recipes import GOOD, load

from zoo.recipe.varied import varied

ON = [
    "augment.crop=pad_shift", "augment.hflip=true", "augment.vflip=true", "augment.policy=rand_augment", "augment.rotate=5",
    "augment.color_jitter=0.1", "augment.erase=0.1", "augment.mixup=0.2", "augment.cutmix=0.2", "backbone.drop_rate=0.1",
    "backbone.drop_path_rate=0.1", "image_size={start: 32, end: 64}",
]  # fmt: skip


def test_what_varies_images_is_named_and_can_be_switched_off(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD, *ON)
    found = varied(recipe.augment, recipe.image_size, recipe.backbone)
    assert {word.partition("=")[0] for word in found} == {word.partition("=")[0] for word in ON}
    still = load(tmp_path, GOOD, *ON, *found)
    assert varied(still.augment, still.image_size, still.backbone) == []


def test_what_is_chosen_later_varies_nothing_yet(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD, "augment.hflip=auto", "augment.crop=none", "image_size=auto")
    assert varied(recipe.augment, recipe.image_size, recipe.backbone) == []
