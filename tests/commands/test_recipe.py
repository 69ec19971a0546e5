from __future__ import annotations

import json

import pytest
import yaml
from helpers.command_line import mistake, printed

from zoo.recipe.load import shipped_recipes


def test_the_shipped_recipes_are_listed_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "recipe", "--list").splitlines()
    assert [line.split()[0] for line in lines] == [name for name, _ in shipped_recipes()]
    assert "quickstart" in {line.split()[0] for line in lines}


def test_a_recipe_is_printed_with_every_option_and_the_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    values = yaml.safe_load(printed(capsys, "recipe", "quickstart", "train.epochs=7"))
    assert values["train"]["epochs"] == 7
    assert "label_smoothing" in values["train"]


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "backbone" in json.loads(printed(capsys, "recipe", "--schema"))["properties"]


def test_without_a_recipe_there_is_nothing_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert mistake(capsys, "recipe") == "error: zoo recipe: which recipe? (give a recipe, --list or --schema)"
