"""Load recipes from text, or return their errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe

# The shortest valid recipe.
GOOD = "backbone: {name: resnet18.tv_in1k}\ndata: {kind: synthetic}\n"


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides)


def mistakes(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ZooError) as error:
        load(tmp_path, text, *overrides)
    return [line.replace(str(tmp_path / "r.yaml"), "r") for line in error.value.lines]
