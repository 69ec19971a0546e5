"""Train, val and test of a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.folders import counts, files_of, load, refused

from zoo.data.options import Digits, Synthetic
from zoo.data.splits import stratified_folds

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


def test_val_is_cut_from_train_in_every_class_and_by_seed(image_folder: Draw) -> None:
    root = image_folder({"train/a": 10, "train/b": 20, "train/c": 1})
    found, again, other = load(root, val_fraction=0.3), load(root, val_fraction=0.3), load(root, seed=1, val_fraction=0.3)
    assert found.test is None
    assert (counts(found.train), counts(found.val)) == ([7, 14, 1], [3, 6])
    assert files_of(found.train) | files_of(found.val) == set(range(31))
    assert files_of(found.val) == files_of(again.val) != files_of(other.val)


def test_one_folder_is_split_and_its_test_set_does_not_move_with_the_seed(image_folder: Draw) -> None:
    root = image_folder({"a": 20, "b": 10})
    found, other = load(root), load(root, seed=5)
    assert [counts(part) for part in (found.train, found.val, found.test)] == [[14, 7], [2, 1], [4, 2]]
    assert files_of(found.train) | files_of(found.val) | files_of(found.test) == set(range(30))
    assert files_of(found.test) == files_of(other.test)
    assert files_of(found.val) != files_of(other.val)
    assert load(root, test_fraction=0.0).test is None


def test_classes_of_one_image_leave_no_val(image_folder: Draw) -> None:
    found = load(image_folder({"train/a": 1, "train/b": 1}))
    assert found.val is None
    assert len(found.train) == 2


@pytest.mark.parametrize(
    ("limit", "taken"), [(14, [10, 3, 1]), (3, [1, 1, 1]), (20, [14, 5, 1]), (28, [20, 7, 1]), (99, [20, 7, 1])]
)
def test_max_train_takes_the_first_by_name_and_some_of_every_class(image_folder: Draw, limit: int, taken: list[int]) -> None:
    root = image_folder({"train/a": 20, "train/b": 7, "train/c": 1, "test/a": 3, "test/b": 3})
    found = load(root, max_train=limit, val_fraction=0.0, max_test=2)
    assert (counts(found.train), counts(found.test)) == (taken, [1, 1])
    assert sorted(files_of(found.train)) == [*range(taken[0]), *range(20, 20 + taken[1]), *range(27, 27 + taken[2])]


def test_a_class_that_val_lacks_moves_no_label(image_folder: Draw) -> None:
    found = load(image_folder({"train/a": 2, "train/b": 2, "train/c": 2, "val/a": 1, "val/c": 2}))
    assert counts(found.val) == [1, 0, 2]
    assert "val has no images of: b" in found.notes


def test_too_few_images_for_the_classes(image_folder: Draw) -> None:
    assert refused(image_folder({"a": 3, "b": 3}), max_train=1) == "data.max_train: 1 images for 2 classes (give at least 2)"


def test_classes_that_a_cut_leaves_out_are_named(image_folder: Draw) -> None:
    notes = load(image_folder({"a": 20, "b": 1, "c": 2})).notes
    assert "val has no images of: b, c" in notes
    assert "test has no images of: b" in notes


@pytest.mark.parametrize(("sizes", "folds"), [([50, 20, 7], 5), ([3, 2, 2], 3), ([9], 2), ([2] * 40, 7)])
def test_folds_are_alike_in_every_class_and_in_all(sizes: list[int], folds: int) -> None:
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    found = stratified_folds(targets, folds, seed=3)
    for kind in (np.arange(len(targets)), *(np.flatnonzero(targets == label) for label in range(len(sizes)))):
        in_fold = np.bincount(found[kind], minlength=folds)
        assert in_fold.sum() == len(kind)
        assert in_fold.max() - in_fold.min() <= 1
    assert np.array_equal(found, stratified_folds(targets, folds, seed=3))
    assert not np.array_equal(found, stratified_folds(targets, folds, seed=4))


def test_folds_are_disjoint_and_complete_and_leave_test_alone(image_folder: Draw) -> None:
    root = image_folder({"train/a": 13, "train/b": 7, "test/a": 2, "test/b": 2})
    folds = [load(root, folds=3, fold=number) for number in range(3)]
    vals = [files_of(each.val) for each in folds]
    assert sorted(file for val in vals for file in val) == list(range(20))
    for each, val in zip(folds, vals, strict=True):
        assert files_of(each.train) == set(range(20)) - val
        assert each.test is None
    assert sorted(map(len, vals)) == [6, 7, 7]
    assert len({each.fingerprint() for each in folds}) == 3
    assert files_of(load(root, seed=1, folds=3).val) != vals[0]


@pytest.mark.parametrize("data", [Digits(folds=4), Synthetic(folds=4)], ids=["digits", "synthetic"])
def test_every_data_set_has_folds(data: Digits | Synthetic) -> None:
    vals = [data.model_copy(update={"fold": number}).load(0, 32).val for number in range(4)]
    positions = np.concatenate([val.index for val in vals if val is not None])
    whole = data.model_copy(update={"folds": None, "val_fraction": 0.0}).load(0, 32)
    assert sorted(positions.tolist()) == sorted(whole.train.index.tolist())
    assert whole.test is not None


def test_images_that_cannot_be_divided_are_refused(image_folder: Draw) -> None:
    single = image_folder({"train/a": 5, "train/b": 1}, root="single")
    what = "class 'b' has only one training image, which cannot train and validate"
    assert refused(single, folds=2) == f"data.folds: {what} (add images of it, or remove the class)"
    few = image_folder({"train/a": 2, "train/b": 2}, root="few")
    assert refused(few, folds=5) == "data.folds: 5 folds, but only 4 training images (use fewer folds)"
    own = image_folder({"train/a": 5, "train/b": 5, "val/a": 2}, root="own")
    todo = "move them to train, or leave data.folds out"
    assert refused(own, folds=2) == f"data.folds: the data has validation images of its own ({todo})"
