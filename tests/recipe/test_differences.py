"""The differences between two recipes, or between a recipe and the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.recipes import GOOD, load

from zoo.recipe.differences import ABSENT, differences, flatten, from_defaults
from zoo.recipe.load import load_recipe, shipped_names


def compared(tmp_path: Path, first: list[str], second: list[str]) -> dict[str, tuple[Any, Any]]:
    found = differences(load(tmp_path, GOOD, *first), load(tmp_path, GOOD, *second))
    return {difference.key: (difference.a, difference.b) for difference in found}


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ([], [], {}),
        (["optim.lr=3e-4"], [], {}),
        (["optim.lr=0.1"], ["optim.lr=0.2"], {"optim.lr": (0.1, 0.2)}),
        (["train.ema=0.9"], [], {"train.ema": (0.9, None)}),
        (["output.track=[aim]"], [], {"output.track": (["aim"], [])}),
        (["image_size=96"], ["image_size=64"], {"image_size": (96, 64)}),
        (["image_size=96"], ["image_size={start: 64, end: 96}"], {"image_size.start": (96, 64)}),
        (["schedule.kind=one_cycle"], ["schedule={kind: cosine, warmup_epochs: 0}"],
         {"schedule.kind": ("one_cycle", "cosine"), "schedule.peak_at": (0.3, ABSENT), "schedule.start_lr_ratio": (0.04, ABSENT)}),
        (["data.kind=digits"], ["data.classes=3"],
         {"data.kind": ("digits", "synthetic"), "data.test_fraction": (0.2, ABSENT), "data.classes": (ABSENT, 3),
          "data.train_images": (ABSENT, 640), "data.test_images": (ABSENT, 160), "data.size": (ABSENT, 32)}),
    ],
)  # fmt: skip
def test_options_that_differ(tmp_path: Path, first: list[str], second: list[str], found: dict[str, tuple[Any, Any]]) -> None:
    assert compared(tmp_path, first, second) == found
    assert compared(tmp_path, second, first) == {key: (b, a) for key, (a, b) in found.items()}


def test_overrides_that_are_made_of_the_differences_lead_from_one_to_the_other(tmp_path: Path) -> None:
    first, second = load_recipe(Path("cifar10/resnet18")), load_recipe(Path("cifar10/vit_small"))
    words = [f"{key}={other}" for (key, _, _), (_, other) in ((found, found.texts) for found in differences(first, second))]
    assert load_recipe(Path("cifar10/resnet18"), words) == second


def test_texts_are_those_of_a_recipe(tmp_path: Path) -> None:
    words = ["train.ema=0.9", "train.compile=true", "output.track=[aim, wandb]", "optim.lr=1e-5", "schedule.kind=constant"]
    found = differences(load(tmp_path, GOOD, *words), load(tmp_path, GOOD, "schedule.kind=cosine"))
    assert {difference.key: difference.texts for difference in found} == {
        "optim.lr": ("1.0e-05", "0.0003"),
        "schedule.kind": ("constant", "cosine"),
        "schedule.final_lr_ratio": ("-", "0.01"),
        "train.compile": ("true", "false"),
        "train.ema": ("0.9", "null"),
        "output.track": ("[aim, wandb]", "[]"),
    }
    record = next(difference.record for difference in found if difference.key == "schedule.final_lr_ratio")
    assert record == {"key": "schedule.final_lr_ratio", "b": 0.01}


@pytest.mark.parametrize("name", shipped_names())
def test_what_differs_from_the_defaults_is_what_a_recipe_needs_to_say(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(Path(name))
    words = [f"{found.key}={found.texts[1]}" for found in from_defaults(recipe) if found.b is not ABSENT]
    root = ", root: photos" if recipe.data.kind == "folder" else ""
    bare = f"name: {recipe.name}\nbackbone: {{name: {recipe.backbone.name}}}\ndata: {{kind: {recipe.data.kind}{root}}}\n"
    assert load(tmp_path, bare, *words) == recipe
    assert from_defaults(load(tmp_path, bare)) == []


def test_nested_options_become_one_level() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}
