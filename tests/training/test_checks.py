"""The data and the model are checked against the recipe before anything is written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.recipes import GOOD, load
from torch import nn

from zoo.errors import ZooError
from zoo.training.checks import check_data, check_norms


def data(images: int, *, val: bool = True) -> Any:
    return SimpleNamespace(train=range(images), val=range(10) if val else None)


@pytest.mark.parametrize(
    ("images", "overrides", "processes", "text"),
    [
        (100, ["train.batch_size=128"], 1, r"^train\.batch_size: 128, but only 100 training images \(lower it\)$"),
        # 65 images in steps of 64 are two steps, of 33 and 32.
        (65, ["train.batch_size=64", "train.accumulate=32"], 2, r"64 is too small for 2 processes x 32 micro-batches \(raise it\)$"),
        (3, ["train.batch_size=3"], 4, r"3 is too small for 4 processes x 1 micro-batches"),
    ],
)  # fmt: skip
def test_a_batch_size_that_does_not_fit_is_refused(tmp_path: Path, images: int, overrides: list[str], processes: int, text: str):
    with pytest.raises(ZooError, match=text):
        check_data(load(tmp_path, GOOD, *overrides), data(images), processes)


def test_selecting_needs_validation_images(tmp_path: Path):
    with pytest.raises(ZooError, match=r"^eval\.select_by: val\.accuracy needs validation images, and there are none"):
        check_data(load(tmp_path, GOOD, "train.batch_size=128"), data(200, val=False), 1)
    check_data(load(tmp_path, GOOD, "train.batch_size=128", "eval.select_by=last"), data(200, val=False), 1)
    with pytest.raises(ZooError, match=r"^eval\.temperature: fit needs validation images, and there are none \(raise"):
        check_data(
            load(tmp_path, GOOD, "train.batch_size=128", "eval.select_by=last", "eval.temperature=fit"), data(200, val=False), 1
        )
    check_data(load(tmp_path, GOOD, "train.batch_size=64", "train.accumulate=16"), data(65), 2)


def test_one_image_has_no_batch_statistics(tmp_path: Path):
    norm = nn.BatchNorm2d(3)
    model = nn.Sequential(nn.Conv2d(3, 3, 1), norm)
    recipe = load(tmp_path, GOOD, "train.batch_size=8")
    # 9 images in steps of 8 are two steps, of 5 and 4: each of two processes has at least two images, each of four may have one.
    check_norms(recipe, data(9), 2, model, [])
    with pytest.raises(
        ZooError, match=r"leaves a micro-batch with a single image, too few for BatchNorm \(raise it, or set finetune\.batch_norm"
    ):
        check_norms(recipe, data(9), 4, model, [])
    # Frozen BatchNorm uses no batch statistics, and neither does a network without BatchNorm.
    check_norms(recipe, data(9), 4, model, [norm])
    check_norms(recipe, data(9), 4, nn.Conv2d(3, 3, 1), [])
