"""The output of `zoo train --plan`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zoo.recipe.load import load_recipe
from zoo.training.plan import learning_rates, minutes, plan, sparkline


def test_a_plan_prints_what_a_start_prints_and_what_it_takes(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(load_recipe(tiny, ["data.train_images=80"]))
    lines = capsys.readouterr().out.splitlines()
    names = [line[:10].strip() for line in lines]
    assert names[:5] == ["backbone", "weights", "data", "device", "precision"]
    assert [name for name in names[5:] if name] == ["schedule", "parameters", "lr", "predicted", "memory", "disk", "plan"]
    text = "\n".join(lines)
    assert "warm-up over 1 epoch, peak 0.00198 after 1.11 epochs" in text
    assert "at the end of epoch 1: 0.0018, 2: " in text
    assert " min in all" in text
    assert "training: 18 steps of " in text
    assert not (tmp_path / "runs").exists()


def test_as_json_it_is_one_object_alone(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan(load_recipe(tiny, ["data.train_images=80"]), as_json=True)
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert (found["name"], found["backbone"], found["steps"], found["epochs"]) == ("tiny", "test_resnet", 18, 2)
    assert found["minutes"] == pytest.approx(found["seconds"] / 60)
    assert len(found["learning_rate"]["epochs"]) == 2
    assert output.err == ""


def training(rates: list[float], epochs: int) -> Any:
    return SimpleNamespace(lr_at=rates.__getitem__, steps=len(rates), epochs=epochs, steps_per_epoch=len(rates) // epochs)


def test_the_numbers_of_the_curve_are_those_of_the_steps() -> None:
    found = learning_rates(training([0.1, 0.2, 0.4, 0.3, 0.2, 0.1], 2))
    assert (found["first"], found["peak"], found["final"]) == (0.1, 0.4, 0.1)
    assert found["peak_epoch"] == 1
    assert found["epochs"] == [0.4, 0.1]
    assert found["curve"] == [0.1, 0.2, 0.4, 0.3, 0.2, 0.1]
    # A run with a given time may end within an epoch.
    cut = training([0.1, 0.2, 0.4, 0.3, 0.1], 2)
    cut.steps_per_epoch = 3
    assert learning_rates(cut)["epochs"] == [0.4, 0.1]
    long = learning_rates(training([step / 1000 for step in range(1000)], 10))
    assert len(long["curve"]) == 60
    assert long["curve"] == sorted(long["curve"])


def test_a_sparkline_is_as_high_as_its_values() -> None:
    assert sparkline([0, 1, 2, 4, 8]) == "▁▂▃▅█"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([3e-4]) == "█"
    assert sparkline([]) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "0.05 min"), (59, "0.98 min"), (150, "2.5 min"), (5_940, "99.0 min"), (7_200, "2.0 h")]
)
def test_a_duration_has_a_unit_that_suits_it(seconds: float, text: str) -> None:
    assert minutes(seconds) == text


@pytest.mark.parametrize("saving", [None, 0.2])
def test_a_plan_of_a_time_fills_it(
    saving: float | None, tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if saving is not None:
        # A slow disk: about half of the time is spent on the checkpoint of each epoch.
        monkeypatch.setattr("zoo.training.forecast._checkpoint_cost", lambda _setup: (saving, 1_000_000))
    plan(load_recipe(tiny, ["train.max_minutes=1"]), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["minutes"] == pytest.approx(1, rel=0.1)
    assert found["steps"] > 100
    assert found["learning_rate"]["peak_epoch"] < found["epochs"]
