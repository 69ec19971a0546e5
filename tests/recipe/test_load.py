"""Recipes are found, read and described by a schema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe, recipe_schema, shipped_root


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    for path, text in [
        (tmp_path / "none.yaml", "no such recipe"),
        (tmp_path, "is a directory"),
        (tmp_path / "latin.yaml", "not UTF-8"),
    ]:
        with pytest.raises(ZooError, match=text):
            load_recipe(path)


def test_the_schema_file_is_fresh() -> None:
    file = shipped_root() / "schema.json"
    assert file.read_text(encoding="utf-8") == recipe_schema(), "run: zoo recipe --schema > recipes/schema.json"


def test_recipes_are_checked_without_torch_or_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; from zoo.cli import main; main(['recipe', '--list']); main(['recipe', 'quickstart', 'optim.lr=x'])\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'timm', 'PIL')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "error: optim.lr: expected a number, found 'x' (e.g. 0.0005)\n"
