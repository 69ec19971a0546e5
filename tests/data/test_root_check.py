"""The root of an image folder: errors say at once what is wrong with it and what was probably meant."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import refused

from zoo.data.root_check import check_root, setting
from zoo.errors import ZooError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("cache")


def test_a_missing_root(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == "data.root: no such folder: ROOT (point data.root at your image folder)"


def test_a_file_in_place_of_a_folder_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == "data.root: ROOT is a file, not a folder (point data.root at a folder)"


def test_an_empty_root(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith("data.root: no class folders in ROOT (expected ROOT/train/CLASS/IMAGE")


@pytest.mark.parametrize("inside", [{"photos/a": 1, "photos/b": 1}, {"photos/train/a": 1, "photos/train/b": 1}])
def test_a_folder_around_the_image_folder(image_folder: Draw, inside: dict[str, int]) -> None:
    root = image_folder(inside | {"__MACOSX": 1})
    assert refused(root) == "data.root: only one folder, 'photos', in ROOT (did you mean data.root=ROOT/photos?)"


@pytest.mark.parametrize("split", ["", "train/", "Validation/"])
def test_the_folder_of_one_class(image_folder: Draw, split: str) -> None:
    root = image_folder({f"{split}a": 1, f"{split}b": 1})
    with pytest.raises(ZooError) as error:
        check_root(root / f"{split}a", "data.root")
    assert error.value.todo == f"did you mean data.root={root}?"


def test_images_without_class_folders_are_not_blamed_on_the_folder_above(image_folder: Draw) -> None:
    root = image_folder({"train": 2, "test": 2})
    with pytest.raises(ZooError) as error:
        check_root(root / "train", "data.root")
    assert error.value.todo == (
        "expected ROOT/train/CLASS/IMAGE or ROOT/CLASS/IMAGE; docs/images.md has a script for labels in a table"
    )


def test_a_flag_is_given_as_flags_are(image_folder: Draw) -> None:
    root = image_folder({"photos/a": 1, "photos/b": 1})
    with pytest.raises(ZooError) as error:
        check_root(root, "--data")
    assert error.value.lines == [f"--data: only one folder, 'photos', in {root} (did you mean --data {root / 'photos'}?)"]
    assert setting("data.root", 1) == "data.root=1"


@pytest.mark.parametrize("layout", [{"train/a": 1, "train/b": 1}, {"a": 1, "b": 1}, {"a": 1, "train": 1}, {"only": 1}])
def test_what_may_be_an_image_folder_is_left_to_the_scan(image_folder: Draw, layout: dict[str, int]) -> None:
    check_root(image_folder(layout), "data.root")


def test_nothing_heavy_is_imported_for_it(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"backbone: {{name: test_resnet}}\ndata: {{kind: folder, root: {tmp_path / 'none'}}}\n")
    code = (
        "import sys; from zoo.cli import main; code = main(['train', sys.argv[1]]); "
        "print(code, *{'torch', 'numpy', 'timm', 'PIL'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(recipe)], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["2"]
    assert found.stderr.startswith("error: data.root: no such folder: ")
