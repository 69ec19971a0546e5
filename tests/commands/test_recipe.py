from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from helpers.command_line import mistake, printed

from zoo.recipe.dump import dump_recipe
from zoo.recipe.load import load_recipe, shipped_recipes


def test_the_shipped_recipes_are_listed_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "recipe", "--list").splitlines()
    assert [line.split()[0] for line in lines] == [name for name, _ in shipped_recipes()]
    assert "quickstart" in {line.split()[0] for line in lines}


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(printed(capsys, "recipe", "--list", "--json"))
    assert [(row["name"], row["about"]) for row in listed] == shipped_recipes()
    assert json.loads(printed(capsys, "recipe", "quickstart", "--json")) == yaml.safe_load(
        printed(capsys, "recipe", "quickstart")
    )


def test_a_recipe_is_printed_with_every_option_and_the_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    values = yaml.safe_load(printed(capsys, "recipe", "quickstart", "train.epochs=7"))
    assert values["train"]["epochs"] == 7
    assert "label_smoothing" in values["train"]


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "backbone" in json.loads(printed(capsys, "recipe", "--schema"))["properties"]


def test_without_a_recipe_there_is_nothing_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert mistake(capsys, "recipe") == "error: zoo recipe: which recipe? (give a recipe, --list or --schema)"


def test_what_differs_stands_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "recipe", "cifar10/resnet18", "--diff", "cifar10/resnet50").splitlines()
    assert lines == [
        "option          cifar10/resnet18  cifar10/resnet50",
        "name            cifar10-resnet18  cifar10-resnet50",
        "backbone.name   resnet18.tv_in1k  resnet50.tv_in1k",
        "image_size.end  128               160",
    ]
    lines = printed(capsys, "recipe", "quickstart", "train.epochs=9", "--diff", "quickstart").splitlines()
    assert lines == ["option        quickstart train.epochs=9  quickstart", "train.epochs  9                          5"]
    assert printed(capsys, "recipe", "quickstart", "--diff", "quickstart") == "no difference\n"


def test_what_differs_from_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "recipe", "tutorial/resnet18_scratch", "--diff", "defaults", "--json"))
    assert {"key": "optim.name", "a": "adam", "b": "adamw"} in found
    assert {"key": "backbone.weights.kind", "a": "random", "b": "auto"} in found
    assert {"name", "backbone.name", "data.kind"}.isdisjoint(row["key"] for row in found)


def test_a_run_is_compared_with_a_recipe_by_its_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(load_recipe(Path("quickstart"), ["optim.lr=0.5"])))
    (tmp_path / "environment.json").write_text('{"recipe_version": 2}')
    for run in (tmp_path, tmp_path / "recipe.yaml"):
        assert json.loads(printed(capsys, "recipe", str(run), "--diff", "quickstart", "--json")) == [
            {"key": "optim.lr", "a": 0.5, "b": 0.002}
        ]
    assert yaml.safe_load(printed(capsys, "recipe", str(tmp_path)))["optim"]["lr"] == 0.5


def test_a_recipe_of_ones_own_is_written_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["recipe", "cifar10/efficientnet_lite1", "train.epochs=9", "--save", "my own.yaml"]
    assert printed(capsys, *words) == "saved my own.yaml; train it with: zoo train 'my own.yaml'\n"
    changes = ["train.epochs=9", "name=my own"]
    assert load_recipe(Path("my own.yaml")) == load_recipe(Path("cifar10/efficientnet_lite1"), changes)
    before = Path("my own.yaml").read_bytes()
    assert mistake(capsys, *words) == "error: --save: my own.yaml exists (choose another name, or remove it)"
    assert Path("my own.yaml").read_bytes() == before


def test_a_recipe_with_a_mistake_is_not_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = mistake(capsys, "recipe", "quickstart", "optim.lr=fast", "--save", str(tmp_path / "mine.yaml"))
    assert line.startswith("error: optim.lr: expected a number")
    assert list(tmp_path.iterdir()) == []


def test_the_page_of_recipes_shows_the_differences_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    command, *lines = page.partition("```text\n$ zoo ")[2].partition("\n```")[0].splitlines()
    assert printed(capsys, *command.split()).splitlines() == lines
