"""Sections of a recipe: growing image sizes, short forms, limits of single options."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.recipes import GOOD, load, mistakes


def test_a_size_that_is_one_number_can_be_made_to_grow(tmp_path: Path) -> None:
    size = load(tmp_path, GOOD + "image_size: 224\n", "image_size.end=256").image_size
    assert (size.start, size.end) == (224, 256)


def test_sizes_in_between_are_multiples_whatever_the_first(tmp_path: Path) -> None:
    size = load(tmp_path, GOOD, "image_size={start: 50, end: 100}").image_size
    assert size.sizes() == [50, 64, 80, 96, 100]
    assert {size.at(step, 100) for step in range(100)} == {*size.sizes()}


@pytest.mark.parametrize("side", [0, -1, 7, 5000])
def test_a_store_has_a_sensible_side(tmp_path: Path, side: int) -> None:
    text = "backbone: {name: resnet18}\ndata: {kind: folder, root: x}\n"
    assert mistakes(tmp_path, text, f"data.store_size={side}") == [
        f"data.store_size: must be >= 8 and <= 4096, found {side} (or write auto)"
    ]


def test_sizes_grow_in_multiples_and_end_at_the_end(tmp_path: Path) -> None:
    size = load(tmp_path, GOOD, "image_size={start: 64, end: 100, until: 0.5}").image_size
    sides = [size.at(step, 40) for step in range(40)]
    assert (sides[0], sides[19], sides[20], sides[-1]) == (64, 96, 100, 100)
    assert sides == sorted(sides)
    assert all(side % 16 == 0 for side in sides[:20])


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("backbone: {name: resnet18, weights: random}", "backbone.weights.kind", "random"),
        ("backbone: {name: resnet18, weights: {kind: file, path: x.pth}}", "backbone.weights.path", Path("x.pth")),
        ("image_size: 96", "image_size.end", 96),
        ("schedule: linear", "schedule.kind", "linear"),
        ("schedule: {warmup_epochs: 0}", "schedule.kind", "one_cycle"),
        ("augment: {crop: none}", "augment.crop.kind", "none"),
        ("data: digits", "data.kind", "digits"),
        ("train: {clip_grad: 1}", "train.clip_grad", 1.0),
        ("name: 2026-01-02", "name", "2026-01-02"),
        ("name: no", "name", "no"),
        ("output: {track: [tensorboard]}", "output.track", ("tensorboard",)),
    ],
)
def test_short_forms_stand_for_whole_sections(tmp_path: Path, text: str, key: str, found: object) -> None:
    rest = {"backbone": "backbone: {name: resnet18}", "data": "data: digits"}
    value: object = load(tmp_path, "\n".join([text, *(line for name, line in rest.items() if not text.startswith(name))]))
    for part in key.split("."):
        value = getattr(value, part)
    assert value == found
    assert load(tmp_path, "backbone: {name: resnet18}\ndata: digits\n").name == "r"
