from __future__ import annotations

from pathlib import Path

import pytest
from helpers.recipes import GOOD, load

from zoo.recipe.load import load_recipe, shipped_recipes
from zoo.recipe.recipe import Recipe
from zoo.report.recipe_table import Option, options_of, text


def by_key(recipe: Recipe) -> dict[str, Option]:
    return {f"{section}.{option.key}": option for section, options in options_of(recipe).items() for option in options}


def changed(recipe: Recipe) -> set[str]:
    return {key for key, option in by_key(recipe).items() if option.changed}


def test_what_a_recipe_writes_differs_from_the_defaults(tmp_path: Path) -> None:
    least = load(tmp_path, GOOD)
    assert changed(least) == {"name.", "backbone.name", "data.kind"}
    more = load(tmp_path, GOOD + "train: {epochs: 3, ema: 0.9}\nimage_size: 96\naugment: {crop: {pad: 2, kind: pad_shift}}\n")
    assert changed(more) - changed(least) == {"train.epochs", "train.ema", "image_size.", "augment.crop.pad"}
    found = by_key(more)
    assert (found["train.epochs"].value, found["train.epochs"].default) == ("3", "auto")
    assert (found["image_size."].value, found["image_size."].default) == ("96", "auto")
    assert found["backbone.name"].default is None


def test_another_kind_differs_and_its_own_defaults_do_not(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD + "schedule: {kind: cosine, final_lr_ratio: 0.5}\naugment: {crop: random_resized}\n")
    found = by_key(recipe)
    assert (found["schedule.kind"].value, found["schedule.kind"].default) == ("cosine", "one_cycle")
    assert found["schedule.final_lr_ratio"].changed
    assert not found["schedule.warmup_epochs"].changed
    assert found["augment.crop.kind"].changed
    assert not found["augment.crop.scale"].changed
    assert found["augment.crop.scale"].value == "[0.35, 1]"


@pytest.mark.parametrize("name", [name for name, _ in shipped_recipes()])
def test_every_option_of_a_shipped_recipe_is_there_once(name: str) -> None:
    recipe = load_recipe(Path(name))

    def leaves(value: object, key: str) -> list[str]:
        if not isinstance(value, dict):
            return [key]
        return [leaf for inner, more in value.items() for leaf in leaves(more, f"{key}.{inner}".lstrip("."))]

    dumped = leaves(recipe.model_dump(mode="json"), "")
    shown = [f"{section}.{option.key}".rstrip(".") for section, options in options_of(recipe).items() for option in options]
    growing = {key for key in dumped if key.startswith("image_size.")}
    assert sorted(shown) == sorted({*dumped, *growing})


def test_values_read_as_in_a_recipe() -> None:
    assert [text(value) for value in (None, True, 0.0005, [1, None], {"a": 1.0}, Path("x"))] == [
        "null",
        "true",
        "0.0005",
        "[1, null]",
        "{a: 1}",
        "x",
    ]
