"""A data set from words on the command line, with the same error messages as in a recipe."""

from __future__ import annotations

import pytest

from zoo.data.folder_set import Folder
from zoo.data.torchvision_sets import Cifar10
from zoo.errors import ZooError
from zoo.recipe.data_words import read_data


def test_words_make_the_data_set_of_a_recipe() -> None:
    found = read_data(["kind=cifar10", "root=data", "max_test=100"])
    assert isinstance(found, Cifar10)
    assert (str(found.root), found.max_test) == ("data", 100)
    assert isinstance(read_data(["data.kind=folder", "data.root=photos"]), Folder)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["kind=cifar10", "rot=data"], ["data.rot: unknown key (did you mean 'data.root'?)"]),
        (["kind=cifar10", "max_test=0"], ["data.max_test: must be >= 1, found 0 (e.g. 1000)"]),
        (["kind=cifar10", "max_train=3"], ["data.max_train: 3 images for 10 classes (give at least 10)"]),
        (["kind=folder"], ["data.root: missing (e.g. photos)"]),
        (["photos", "x"], ["command line: 'data.photos': expected section.key=value (e.g. optim.lr=5.0e-4)"]),
    ],
)
def test_mistakes_are_told_in_the_words_of_a_recipe(words: list[str], lines: list[str]) -> None:
    with pytest.raises(ZooError) as error:
        read_data(words)
    assert error.value.lines == lines
