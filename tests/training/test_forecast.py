"""The parts of a forecast. `benchmarks/forecast.py` measures how close a forecast is to the real time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zoo.recipe.load import load_recipe
from zoo.system import launch
from zoo.system.console import Console
from zoo.training.forecast import forecast, forecast_of, in_worker, prepare, read_recipe

PROGRESSIVE = "image_size={start: 32, end: 64}"


def test_a_forecast_is_the_sum_of_its_parts_and_writes_nothing(tiny: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny, [PROGRESSIVE, "finetune.probe_first=true", "train.epochs=4"])
    found = forecast(recipe)
    parts = [found.set_up_seconds, found.probe_seconds, found.train_seconds, found.evaluation_seconds, found.saving_seconds]
    assert min(parts) > 0
    assert found.seconds == pytest.approx(sum(parts))
    assert found.minutes == pytest.approx(found.seconds / 60)
    assert (found.steps, found.steps_per_epoch) == (72, 18)
    assert list(found.step_seconds_by_size) == [32, 48, 64]
    assert found.train_seconds >= found.steps * found.step_seconds
    assert found.images_per_second == pytest.approx(8 / found.step_seconds)
    # The mean over the run is between the fastest and the slowest size.
    assert min(found.step_seconds_by_size.values()) <= found.step_seconds <= max(found.step_seconds_by_size.values())
    # The weights and their two moments, in float32.
    assert 0.37e6 * 4 * 3 <= found.checkpoint_bytes <= 0.4e6 * 4 * 3 + 1e5
    assert found.disk_bytes > 3 * found.checkpoint_bytes
    assert json.loads(json.dumps(found.record()))["minutes"] == found.minutes
    assert not (tmp_path / "runs").exists()


def test_more_work_is_predicted_to_take_longer(tiny: Path) -> None:
    setup, seconds = prepare(load_recipe(tiny), launch.read(), Console(quiet=True), 0.0)
    short = forecast_of(setup, seconds)
    setup.training.plan.change(0, 10 * short.steps)
    long = forecast_of(setup, seconds)
    assert long.steps == 10 * short.steps
    # Ten times the steps. The bounds are wide, because other work on the machine changes the times.
    assert 3 < long.train_seconds / short.train_seconds < 30
    assert long.evaluation_seconds > 2 * short.evaluation_seconds
    assert long.disk_bytes == short.disk_bytes


def test_without_anything_to_evaluate_it_takes_no_time(tiny: Path) -> None:
    setup, seconds = prepare(load_recipe(tiny), launch.read(), Console(quiet=True), 0.0)
    setup.training.val = setup.training.test = None
    found = forecast_of(setup, seconds)
    assert found.evaluation_seconds == found.evaluation_images_per_second == 0
    assert found.train_seconds > 0


def test_a_worker_gets_a_recipe_as_values_and_sends_one_record(tiny: Path) -> None:
    recipe = load_recipe(tiny, ["data.train_images=40"])
    values = recipe.model_dump(mode="json")
    assert read_recipe(json.loads(json.dumps(values))) == recipe
    sent: list[dict[str, Any]] = []
    in_worker({"recipe": values}, sent.append)
    (record,) = sent
    assert record["steps"] == 10
    assert record["seconds"] > 0
