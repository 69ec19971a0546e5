"""The schema accepts the same recipes as zoo, for files with and without a base."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from zoo.recipe import yaml
from zoo.recipe.load import shipped_names, shipped_root
from zoo.recipe.schema import recipe_schema

SCHEMA = jsonschema.Draft202012Validator(json.loads(recipe_schema()))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA.schema)


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_recipe_fits(name: str) -> None:
    SCHEMA.validate(yaml.read(shipped_root() / f"{name}.yaml").tree)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("base: quickstart", True),
        ("base: quickstart\nbackbone: {drop_rate: 0.1}\ndata: {max_train: 5}\nimage_size: {end: 96}\nschedule: {warmup_epochs: 1}", True),
        ("base: quickstart\naugment: {crop: {pad: 2}}\nbackbone: {weights: {path: x.pth}}", True),
        ("base: quickstart\nschedule: linear", True),
        ("base: [quickstart]", False),
        ("base: quickstart\nbackbone: {drop_rat: 0.1}", False),
        ("base: quickstart\ndata: {max_train: 0}", False),
        ("base: quickstart\ntrian: {}", False),
        ("backbone: {name: resnet18}\ndata: digits", True),
        ("backbone: {name: resnet18}", False),
        ("backbone: {drop_rate: 0.1}\ndata: digits", False),
        ("backbone: {name: resnet18}\ndata: {max_train: 5}", False),
        ("backbone: {name: resnet18}\ndata: digits\nimage_size: {end: 96}", True),
        ("backbone: {name: resnet18}\ndata: digits\ntrian: {}", False),
    ],
)  # fmt: skip
def test_with_a_base_the_rest_may_be_left_out(text: str, fits: bool) -> None:
    assert SCHEMA.is_valid(yaml.parse(text, "x")) == fits


def test_the_schema_file_is_fresh() -> None:
    file = Path(shipped_root()) / "schema.json"
    assert file.read_text(encoding="utf-8") == recipe_schema(), "run: python scripts/build_docs.py"
