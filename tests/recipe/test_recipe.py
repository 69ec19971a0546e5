"""The whole recipe: rules across its sections, and that every option is documented."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.recipes import GOOD, mistakes

from zoo.recipe.load import recipe_schema


def test_every_option_is_described() -> None:
    bare = [
        f"{title}.{name}"
        for title, section in json.loads(recipe_schema())["$defs"].items()
        for name, option in section["properties"].items()
        if name != "kind" and "description" not in option
    ]
    assert bare == []


def test_all_broken_rules_across_sections_are_reported(tmp_path: Path) -> None:
    text = GOOD.replace("synthetic", "synthetic, val_fraction: 0") + "schedule: {warmup_epochs: 99}\ntrain: {accumulate: 999}\n"
    assert [line.split(" ")[1] for line in mistakes(tmp_path, text)] == [
        "eval.select_by:",
        "schedule.warmup_epochs:",
        "train.accumulate:",
    ]
    assert mistakes(tmp_path, GOOD, "eval.select_by=last", "train.patience=2")[0].startswith(
        "train.patience: needs a metric of val"
    )
