"""Recipes are found by path or shipped name, read, and checked without heavy imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.recipes import GOOD
from pydantic import ValidationError

from zoo.errors import ZooError
from zoo.recipe.load import find_recipe, load_recipe, shipped_recipes, shipped_root


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    for path, text in [
        (tmp_path / "none.yaml", r"none.yaml: no such recipe \('zoo recipe --list' shows the shipped ones\)"),
        (Path("cifar10/resnet81"), r"^cifar10/resnet81: no such recipe \(did you mean 'cifar10/resnet18'\? 'zoo"),
        (tmp_path, "is a directory"),
        (tmp_path / "latin.yaml", "not UTF-8"),
    ]:
        with pytest.raises(ZooError, match=text):
            load_recipe(path)


def test_recipes_are_checked_without_torch_or_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; from zoo.cli import main; main(['recipe', '--list']); main(['recipe', 'quickstart', 'optim.lr=x'])\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'timm', 'PIL')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "error: optim.lr: expected a number, found 'x' (e.g. 0.0003)\n"


def test_a_recipe_is_found_by_its_path_or_its_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = shipped_root() / "quickstart.yaml"
    assert find_recipe(Path("quickstart")) == find_recipe(Path("quickstart.yaml")) == shipped
    assert find_recipe(Path("nowhere")) == Path("nowhere")
    (tmp_path / "quickstart").write_text("")
    assert find_recipe(Path("quickstart")) == Path("quickstart")


def test_every_shipped_recipe_says_what_it_is_for() -> None:
    found = dict(shipped_recipes())
    assert {"quickstart", "cifar10/resnet18", "folder/example", "tutorial/resnet18"} <= set(found)
    assert all(found.values())


def test_a_recipe_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "chairs.yaml").write_text(GOOD)
    assert load_recipe(tmp_path / "chairs.yaml").name == "chairs"
    assert load_recipe(tmp_path / "chairs.yaml", ["name=tables"]).name == "tables"
    strange = tmp_path / os.fsdecode(b"caf\xe9.yaml")
    strange.write_text(GOOD)
    with pytest.raises(ZooError, match=r"caf\\udce9.yaml: its name is not UTF-8 text \(rename it, or add name=NAME\)$"):
        load_recipe(strange)
    assert load_recipe(strange, ["name=tables"]).name == "tables"


def test_a_recipe_does_not_change(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(GOOD)
    recipe = load_recipe(tmp_path / "r.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.train.epochs = 3  # pyright: ignore[reportAttributeAccessIssue]
