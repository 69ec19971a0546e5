"""A saved recipe loads to the recipe that it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.recipe import yaml
from zoo.recipe.load import check_recipe, load_recipe, read_recipe, shipped_names
from zoo.recipe.save import check_new, recipe_text, save_recipe

OVERRIDES = ["train.epochs=7", "schedule.kind=linear", "augment={crop: none, erase: 0.1}", "optim.lr=1e-7", "name='no: 1'"]


def saved(path: Path, name: str, *overrides: str) -> Path:
    written = read_recipe(Path(name), overrides)
    recipe = check_recipe(written, Path(name))
    save_recipe(path, {**written.tree, "name": recipe.name}, [name, *overrides])
    return path


@pytest.mark.parametrize("name", shipped_names())
@pytest.mark.parametrize("overrides", [[], OVERRIDES])
def test_it_is_the_recipe_that_it_was_made_of(tmp_path: Path, name: str, overrides: list[str]) -> None:
    path = saved(tmp_path / "mine.yaml", name, *overrides)
    # Without `name`, a saved recipe and its runs have the name of the file.
    own = {"name": "no: 1" if overrides else "mine"}
    assert load_recipe(path) == load_recipe(Path(name), overrides).model_copy(update=own)
    text = path.read_text(encoding="utf-8")
    assert "base:" not in text
    assert max(map(len, text.splitlines()[3:])) <= yaml.LINE_WIDTH + 10
    # A saved recipe can be saved again.
    again = load_recipe(saved(tmp_path / "again.yaml", str(path)))
    assert again == load_recipe(path).model_copy(update={"name": "again"})


def test_the_schema_that_it_names_is_there(tmp_path: Path) -> None:
    first = saved(tmp_path / "mine.yaml", "quickstart").read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=file:///")
    assert Path(first.partition("file://")[2]).is_file()


@pytest.mark.parametrize("word", ["name='a\nb: c'", "name=a\x85b", "name=a\u2028x: y", "name=\udcff"])
def test_a_comment_cannot_be_left(word: str) -> None:
    text = recipe_text(Path("mine.yaml"), {"name": "x"}, ["quickstart", word])
    assert yaml.parse(text, "x") == {"name": "x"}
    text.encode()


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link", "."):
        with pytest.raises(ZooError, match=r"^--save: .* exists \(choose another name, or remove it\)"):
            save_recipe(tmp_path / name, {}, ["quickstart"])
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(ZooError, match="no such folder"):
        check_new(tmp_path / "none" / "mine.yaml")
    with pytest.raises(ZooError, match="cannot be written: File name too long"):
        save_recipe(tmp_path / ("x" * 300), {}, ["quickstart"])
