"""The whole recipe: rules across its sections, and a description for every option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.recipes import GOOD, load, mistakes

from zoo.recipe.schema import recipe_schema


def test_every_option_is_described() -> None:
    bare = [
        f"{title}.{name}"
        for title, section in json.loads(recipe_schema())["$defs"].items()
        for name, option in section["properties"].items()
        if name != "kind" and "description" not in option
    ]
    assert bare == []


def test_all_broken_rules_across_sections_are_reported(tmp_path: Path) -> None:
    text = (
        GOOD.replace("synthetic", "synthetic, val_fraction: 0")
        + "schedule: {warmup_epochs: 99}\ntrain: {accumulate: 999, epochs: 10, batch_size: 128}\n"
    )
    assert [line.split(" ")[1] for line in mistakes(tmp_path, text)] == [
        "eval.select_by:",
        "schedule.warmup_epochs:",
        "train.accumulate:",
    ]
    assert mistakes(tmp_path, GOOD, "eval.select_by=last", "train.patience=2")[0].startswith(
        "train.patience: needs a validation metric"
    )


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["schedule.warmup_epochs=20", "train.epochs=10"], "schedule.warmup_epochs: 20 exceeds train.epochs 10 (lower it or train longer)"),
        (["image_size={start: 96, end: 64}"], "image_size.start: 96 exceeds end 64 (sizes only grow)"),
        (["data.folds=5", "eval.test_every_epoch=true"], "eval.test_every_epoch: true, but data.folds does not use the test images (set it to false)"),
        (["data.val_fraction=0"], "eval.select_by: val.accuracy needs validation images, and data.val_fraction is 0 (use last)"),
        (["train.accumulate=129", "train.batch_size=128"], "train.accumulate: 129 exceeds train.batch_size 128 (lower it)"),
        (["train.loss={kind: bce, threshold: 0.2}"], "train.loss: a threshold needs mixed images (set augment.mixup or augment.cutmix)"),
        (
            ["train.loss={kind: bce, threshold: 0.2}", "train.label_smoothing=0.1", "augment.mixup=0.2"],
            "train.label_smoothing: has no effect if train.loss has a threshold (set one of them to its default)",
        ),
        (["eval.select_by=last", "train.patience=2"], "train.patience: needs a validation metric to watch (set eval.select_by: val.accuracy)"),
    ],
)  # fmt: skip
def test_a_rule_names_the_key_to_change(tmp_path: Path, overrides: list[str], line: str) -> None:
    found = mistakes(tmp_path, GOOD, *overrides)
    # If the file does not contain the key, the reported place is the first line of the recipe.
    assert [text.removeprefix("r:1: ") for text in found] == [line]


def test_what_the_rules_allow(tmp_path: Path) -> None:
    load(tmp_path, GOOD, "data.val_fraction=0", "eval.select_by=last")
    load(tmp_path, GOOD, "schedule.warmup_epochs=10", "train.epochs=10", "image_size={start: 64, end: 64}")
    load(tmp_path, GOOD, "train.accumulate=128", "train.batch_size=128")
    # Options that are `auto` are chosen later in a way that keeps the rules.
    load(tmp_path, GOOD, "schedule.warmup_epochs=99", "train.accumulate=999", "image_size.end=16")
    # A folder may have val images of its own.
    load(tmp_path, GOOD.replace("synthetic", "folder, root: x"), "data.val_fraction=0")


def test_descriptions_are_sentences() -> None:
    described = {
        f"{title}.{name}": option["description"]
        for title, section in json.loads(recipe_schema())["$defs"].items()
        for name, option in section["properties"].items()
        if "description" in option
    }
    assert [key for key, text in described.items() if not text.endswith(".")] == []
