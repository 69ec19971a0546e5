"""Timing steps does not change the weights."""

from __future__ import annotations

from pathlib import Path

from zoo.recipe.load import load_recipe
from zoo.system import launch
from zoo.system.console import Console
from zoo.training.cached_features import use_features
from zoo.training.forecast import prepare
from zoo.training.timing import sampled, time_evaluation, time_steps


def test_weights_stay_as_they_are_while_steps_are_timed(tiny: Path) -> None:
    setup, _ = prepare(load_recipe(tiny, ["optim.weight_decay=0.5"]), launch.read(), Console(quiet=True), 0.0)
    before = {name: value.clone() for name, value in setup.bare_model.named_parameters()}
    found = time_steps(setup.training, [32])
    assert list(found.usual) == [32]
    assert all((value == before[name]).all() for name, value in setup.bare_model.named_parameters())


def test_a_head_alone_is_not_timed_on_images(tiny: Path) -> None:
    cached = ["finetune.freeze=backbone", "augment.crop=none", "augment.hflip=false"]
    recipe = load_recipe(tiny, [*cached, "image_size=32", "data.val_fraction=0", "eval.select_by=last"])
    setup, _ = prepare(recipe, launch.read(), Console(quiet=True), 0.0)
    use_features(setup)
    assert setup.training.head is not None
    assert time_evaluation(setup.training) == 0.0


def test_the_steps_of_a_long_run_are_sampled() -> None:
    assert sampled(3) == [0, 1, 2]
    assert sampled(1) == [0]
    found = sampled(10**8)
    assert (found[0], found[-1]) == (0, 10**8 - 1)
    assert len(found) <= 10_000
