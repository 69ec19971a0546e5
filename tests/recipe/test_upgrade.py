"""A run of an earlier version resumes with the options that it started with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.recipe import upgrade
from zoo.recipe.dump import dump_recipe
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe
from zoo.recipe.upgrade import VERSION, upgraded
from zoo.training.resume import recipe_changes

TEXT = "backbone: {name: test_resnet, weights: random}\ndata: digits\noptim: {name: adan%s}\n"


def recipe(tmp_path: Path, momentum: str = "") -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT % momentum)
    return load_recipe(path)


def run_of(tmp_path: Path, started: Recipe, **environment: int) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(dump_recipe(started))
    (run / "environment.json").write_text(json.dumps(environment))
    return run


def test_the_momentum_that_meant_null_is_null_in_runs_of_then(tmp_path: Path) -> None:
    """The recipe.yaml of such a run has `momentum: 0.9`, but its adan optimizer used its own default of 0.98."""
    run = run_of(tmp_path, recipe(tmp_path, ", momentum: 0.9"))
    for now in (recipe(tmp_path), recipe(tmp_path, ", momentum: 0.9"), load_recipe(run / "recipe.yaml")):
        assert upgraded(now, run).optim.momentum is None
        assert recipe_changes(upgraded(now, run), run, allowed=False) == []


@pytest.mark.parametrize("momentum", ["", ", momentum: 0.8", ", momentum: 0.9"])
def test_options_of_this_version_are_as_they_are_written(tmp_path: Path, momentum: str) -> None:
    started = recipe(tmp_path, momentum)
    run = run_of(tmp_path, started, recipe_version=VERSION)
    assert upgraded(started, run) == started
    assert recipe_changes(started, run, allowed=False) == []


def test_a_change_of_momentum_is_still_a_change(tmp_path: Path) -> None:
    run = run_of(tmp_path, recipe(tmp_path, ", momentum: 0.9"), recipe_version=VERSION)
    with pytest.raises(ZooError, match=r"recipe differs: optim.momentum 0.9 -> null"):
        recipe_changes(recipe(tmp_path), run, allowed=False)


@pytest.mark.parametrize("text", ["[1]", "2", "null", '{"recipe_version": "2"}', '{"recipe_version": null}', "{", ""])
def test_a_damaged_environment_has_no_version(tmp_path: Path, text: str) -> None:
    run = run_of(tmp_path, recipe(tmp_path, ", momentum: 0.9"))
    (run / "environment.json").write_text(text)
    assert upgrade.run_recipe(run).optim.momentum is None


def test_a_run_is_named_by_its_folder_or_its_recipe(tmp_path: Path) -> None:
    started = recipe(tmp_path, ", momentum: 0.9")
    run = run_of(tmp_path, started)
    assert upgrade.run_of(run) == upgrade.run_of(run / "recipe.yaml") == run
    assert upgrade.run_recipe(run).optim.momentum is None
    assert upgrade.run_recipe(run, ["train.epochs=3"]).train.epochs == 3
    # A recipe that is named recipe.yaml but is not in a run folder.
    assert upgrade.run_of(tmp_path / "recipe.yaml") is None
    assert upgrade.run_of(Path("quickstart")) is None
