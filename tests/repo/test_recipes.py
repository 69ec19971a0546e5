"""Every shipped recipe loads, has a header that says whether it was measured, and trains for two steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm

from zoo.recipe.load import load_recipe, shipped_recipes, shipped_root
from zoo.training.run import train

NAMES = [name for name, _ in shipped_recipes()]
# Recipes that are small enough to train in every test run; the others train only in the slow tests.
QUICK = {"quickstart", "cifar10/resnet18"}


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_its_header_tells(name: str) -> None:
    loaded = load_recipe(Path(name))
    assert loaded.name
    text = (shipped_root() / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=")
    assert f"# Run: accelerate launch scripts/train.py {name}" in text
    assert "measured" in text.lower() or "not run" in text.lower()
    assert len(text.splitlines()) <= 30


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def test_it_takes_two_steps_on_random_weights(name: str, tmp_path: Path) -> None:
    original = load_recipe(Path(name))
    config = timm.get_pretrained_cfg(original.backbone.name)
    # Networks that accept any image size train at a small one.
    size = f"image_size={original.image_size.end if config and config.fixed_input_size else 64}"
    overrides = [
        size, "data={kind: synthetic, train_images: 20, test_images: 10}", "backbone.weights=random", f"output.root={tmp_path}",
        "train.batch_size=10", "train.epochs=1", "schedule.warmup_epochs=0", "train.precision=fp32", "train.channels_last=true",
        "eval.select_by=last", "data.val_fraction=0", "train.accumulate=1",
    ]  # fmt: skip
    folder = train(load_recipe(Path(name), overrides))
    assert result_of(folder)["steps"] == 2


def result_of(folder: Path) -> dict:
    from zoo.results.folder import RunFolder

    return RunFolder(folder).read_json("result.json")
