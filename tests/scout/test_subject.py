"""The arguments of `zoo scout`: the recipe and the backbones that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.models.catalog import Query
from zoo.recipe.load import load_recipe
from zoo.scout.subject import find_backbones, find_subject, smallest
from zoo.training.auto import decide

Draw = Callable[..., Path]


@pytest.mark.parametrize("name", ["images", "my images, 2: 'new'", "12"])
def test_a_folder_stands_for_the_recipe_of_folders(
    image_folder: Draw, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_folder({"a": 2, "b": 2}, root=name)
    monkeypatch.chdir(tmp_path)
    for word in (name, str(tmp_path / name)):
        found = find_subject(word, ["train.epochs=3"])
        assert found.recipe.data.root == Path(word)
        assert (found.recipe.train.epochs, found.data) == (3, word)
        # The returned words load to the same recipe.
        recipe, *overrides = found.words
        assert decide(load_recipe(Path(recipe), overrides)).recipe == found.recipe


@pytest.mark.parametrize(("word", "kind"), [("digits", "digits"), ("cifar10", "cifar10"), ("cifar100", "cifar100")])
def test_a_data_set_stands_for_a_recipe_of_it(word: str, kind: str) -> None:
    found = find_subject(word, [])
    assert found.recipe.data.kind == kind
    recipe, *overrides = found.words
    assert decide(load_recipe(Path(recipe), overrides)).recipe == found.recipe


def test_a_recipe_and_a_run_stand_for_themselves(tiny: Path, tmp_path: Path) -> None:
    assert find_subject(str(tiny), ["image_size=64"]).recipe.image_size.end == 64
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(tiny.read_text())
    assert find_subject(str(run), []).recipe.backbone.name == "test_resnet"
    assert find_subject("quickstart", []).data == "digits"
    with pytest.raises(ZooError, match=r"^DATA: no folder, recipe or data set: nowhere \(give a folder of images, a recipe "):
        find_subject("nowhere", [])
    with pytest.raises(ZooError, match=r"^data.root: "):
        find_subject("folder/example", ["data.root=/nowhere/at/all"])


def test_a_name_stands_for_its_default_tag_and_a_pattern_for_all() -> None:
    assert find_backbones(["resnet18", "tf_efficientnet_lite0"], Query()) == (
        ["resnet18.a1_in1k", "tf_efficientnet_lite0.in1k"],
        [],
    )
    found, unknown = find_backbones(["resnet18.tv_in1k", "tf_efficientnet_lite[01]", "nothing9"], Query())
    assert found == ["resnet18.tv_in1k", "tf_efficientnet_lite0.in1k", "tf_efficientnet_lite1.in1k"]
    assert unknown == ["nothing9"]
    assert len(find_backbones(["resnet18.*"], Query())[0]) > 3


def test_filters_are_those_of_zoo_list() -> None:
    assert find_backbones(["tf_efficientnet_lite?"], Query(max_params="5M"))[0] == ["tf_efficientnet_lite0.in1k"]
    assert "tf_efficientnet_lite0.in1k" in find_backbones([], Query(max_gmacs="0.5", pretrained=True))[0]
    with pytest.raises(ZooError, match="no backbone passes the filters"):
        find_backbones(["resnet50"], Query(max_params="1M"))
    with pytest.raises(ZooError, match="which backbones"):
        find_backbones([], Query())
    with pytest.raises(ZooError, match=r"MODEL: no backbone matches 'resnet1_8' \(closest: "):
        find_backbones(["resnet1_8"], Query())
    with pytest.raises(ZooError, match=r"MODEL: no backbone matches 'zz\*'"):
        find_backbones(["zz*", "resnet18"], Query())


def test_the_control_is_the_smallest() -> None:
    assert smallest(["resnet50.a1_in1k", "resnet18.a1_in1k"]) == "resnet18.a1_in1k"
    assert smallest(["nothing9"]) == "nothing9"
