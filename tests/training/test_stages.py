"""Each stage trains only its own parameters, at its own learning rate, and a run can be resumed in each stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from helpers.runs import history, run, same, stop_at

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.system import launch
from zoo.system.console import Console
from zoo.training.checkpoint import load
from zoo.training.forecast import prepare
from zoo.training.loop import use_stage
from zoo.training.timing import StepTimes, mean_over_run, time_stages

# 72 of the 80 images are trained on: an epoch has 9 steps of 8 images.
STAGED = [
    "data.train_images=80", "train.epochs=4", "output.checkpoint_every=1 step", "output.keep_last=99", "optim.weight_decay=0.5",
    "finetune.stages=[{freeze: backbone, epochs: 1, lr: 0.01}, {freeze: 4, epochs: 1}, {freeze: none}]", "schedule=one_cycle",
]  # fmt: skip
# One step within each stage.
WITHIN = [4, 13, 30]


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {key.partition(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}


def test_a_stage_moves_its_own_part_alone_and_no_state_of_another(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = run(tiny, *STAGED)
    torch.manual_seed(0)
    start = timm.create_model("test_resnet", num_classes=4).state_dict()
    saved = {step: load(folder / f"checkpoints/step-{step:08}") for step in (9, 18, 36)}
    assert moved(start, saved[9].tensors["model"]) == {"fc"}
    assert moved(saved[9].tensors["model"], saved[18].tensors["model"]) == {"layer4", "fc"}
    assert moved(saved[18].tensors["model"], saved[36].tensors["model"]) == {
        "conv1",
        "bn1",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "fc",
    }
    known = [{name.partition(".")[0] for name in saved[step].tensors["optimizer"]} for step in (9, 18)]
    assert known == [{"fc"}, {"layer4", "fc"}]
    steps = {
        name.partition("|")[0]: int(value) for name, value in saved[36].tensors["optimizer"].items() if name.endswith("|step")
    }
    assert (steps["fc.weight"], steps["layer4.0.conv1.weight"], steps["conv1.0.weight"]) == (36, 27, 18)
    said = capsys.readouterr().out
    assert said.count("1 of 3: freeze backbone, 388 parameters learn, 1 epoch, peak lr 0.01\n") == 2
    assert said.index("stage 1 of 3") < said.index("\n    1       9") < said.index("stage 2 of 3: freeze 4")
    assert "stage 3 of 3: freeze none, all parameters learn, 2 epochs, peak lr 0.002" in said


def training_of(tiny: Path, *overrides: str) -> Any:
    return prepare(load_recipe(tiny, [*STAGED, *overrides]), launch.read(), Console(quiet=True), 0.0)[0].training


def test_the_schedule_runs_once_in_each_stage(tiny: Path) -> None:
    training = training_of(tiny)
    rates = [training.lr_at(step) for step in range(36)]
    parts = [rates[:9], rates[9:18], rates[18:]]
    for part, peak in zip(parts, (0.01, 0.002, 0.002), strict=True):
        assert max(part) == pytest.approx(peak, rel=0.05)
        assert part[0] < 0.2 * peak
        assert part[-1] < 0.1 * peak
    assert [training.stages.at(step) for step in (0, 8, 9, 17, 18, 35)] == [0, 0, 1, 1, 2, 2]


def test_stages_keep_their_share_of_a_plan_that_changes(tiny: Path) -> None:
    shares = "finetune.stages=[{freeze: backbone, share: 0.2}, {}]"
    training = training_of(tiny, shares, "train.max_minutes=60")
    plan = training.plan
    plan.change(2, 100)
    assert [training.stages.at(step) for step in (2, 19, 23, 99)] == [0, 0, 1, 1]
    before = training.stages.at(30)
    plan.change(31, 60)
    assert training.stages.at(30) == before
    rates = [training.lr_at(step) for step in range(60)]
    assert all(rate > 0 for rate in rates)
    assert training.stages.text(0).endswith("20 % of the run, peak lr 0.002")


def test_frozen_parts_have_no_gradients_and_norms_keep_still_for_a_while(tiny: Path) -> None:
    training = training_of(tiny, "finetune.batch_norm=train")
    model, norm = training.bare_model, training.bare_model.layer1[0].bn1
    for number, learns in ((0, False), (2, True), (1, False)):
        use_stage(training, number)
        assert (model.layer1[0].conv1.weight.requires_grad, norm.training) == (learns, learns)
        assert model.layer4[0].bn1.training == (number > 0)
        model(torch.randn(2, 3, 32, 32)).sum().backward()
        assert (model.layer1[0].conv1.weight.grad is not None) == learns
        assert model.fc.weight.grad is not None


@pytest.mark.parametrize(
    ("step", "more"),
    [
        (13, "train.ema=0.9"),
        *(pytest.param(step, "finetune.batch_norm=frozen", marks=pytest.mark.slow) for step in (*WITHIN, 9, 18)),
        pytest.param(13, "optim.name=lamb", marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_in_each_stage_to_the_same_bits(tiny: Path, step: int, more: str) -> None:
    overrides = [*STAGED, more]
    whole, _ = run(tiny, *overrides)
    stop_at(step, tiny, *overrides)
    folder, _ = run(tiny, *overrides, resume=whole.parent / "tiny-2")
    assert same(whole, folder)
    assert [row["train.loss"] for row in history(whole)] == [row["train.loss"] for row in history(folder)]
    with pytest.raises(ZooError, match=r"finetune.stages"):
        run(tiny, *overrides, "finetune.stages=gradual", resume=folder)


def test_gradual_trains_more_and_more(tiny: Path) -> None:
    training = training_of(tiny, "finetune.stages=gradual", "train.epochs=5")
    assert [part.freeze for part in training.stages.parts] == ["backbone", 4, 3, "none"]
    assert [training.stages.first_step(number) for number in range(5)] == [0, 9, 18, 27, 45]


def test_too_few_steps_for_the_stages_are_refused(tiny: Path) -> None:
    with pytest.raises(ZooError, match=r"finetune.stages: 3 steps are too few for 4 stages"):
        training_of(tiny, "finetune.stages=gradual", "train.epochs=1", "train.batch_size=30")


def test_a_forecast_times_each_stage(tiny: Path) -> None:
    training = training_of(tiny)
    times = time_stages(training, [32])
    assert times.usual[32] > 0
    assert [list(stage) for stage in times.stages] == [[32]] * 3
    assert training.stages.current == 2


def test_a_forecast_knows_that_early_stages_have_small_images(tiny: Path) -> None:
    training = training_of(tiny)
    steps = [(training.stages.at(step), 8 if step < training.steps / 3 else 32) for step in range(training.steps)]
    assert len(set(steps)) > 3
    # A step at 8 px takes 1, 2 or 3 s, depending on the stage, and 10 s more at 32 px.
    times = StepTimes({8: 0.0, 32: 0.0}, {}, tuple({8: 1.0 + stage, 32: 11.0 + stage} for stage in range(3)))
    growing = replace(training, size_at=lambda step: steps[step][1])
    expected = sum(1 + stage + 10 * (size == 32) for stage, size in steps) / len(steps)
    assert mean_over_run(times, growing) == pytest.approx(expected)
