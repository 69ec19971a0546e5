"""A teacher in a recipe: its short and long form, its folder, and losses that equal timm's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.task import FeatureDistillationTask, LogitDistillationTask
from torch import nn

from zoo.errors import Mistakes, ZooError
from zoo.recipe.distill import FeatureDistill, LogitDistill
from zoo.recipe.load import load_recipe


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["distill=runs/big"], LogitDistill(teacher=Path("runs/big"))),
        (["distill=runs/big", "distill.temperature=2"], LogitDistill(teacher=Path("runs/big"), temperature=2)),
        (["distill=runs/big", "distill.kind=feature"], FeatureDistill(teacher=Path("runs/big"))),
        (["distill={teacher: a, weight: 1}", "distill.teacher=b"], LogitDistill(teacher=Path("b"), weight=1)),
        (["distill=runs/big", "distill=null"], None),
        ([], None),
    ],
)
def test_a_path_stands_for_a_teacher_and_options_beside_it_stay_in_force(tiny: Path, overrides: list[str], expected: Any) -> None:
    assert load_recipe(tiny, overrides).distill == expected


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("distill=3", "distill: expected a path or a mapping, found 3 (e.g. runs/big)"),
        ("distill.kind=feature", "distill.teacher: missing (e.g. runs/big)"),
        ("distill={teacher: a, kind: soft}", "distill.kind: unknown 'soft' (known: logit, feature)"),
        ("distill={teacher: a, weight: 0}", "distill.weight: must be > 0, found 0 (e.g. 0.7)"),
    ],
)
def test_mistakes_are_named(tiny: Path, override: str, text: str) -> None:
    with pytest.raises(Mistakes) as error:
        load_recipe(tiny, [override])
    assert error.value.mistakes == [text]


def test_a_teacher_is_a_finished_run_or_a_model_folder(tmp_path: Path, model_folder: Path) -> None:
    assert LogitDistill(teacher=model_folder).folder() == model_folder
    run = tmp_path / "run"
    run.mkdir()
    for content, text in (
        ("", "no config.json with model.safetensors in"),
        ("name: run", "is not finished and has no model yet"),
    ):
        if content:
            (run / "recipe.yaml").write_text(content)
        with pytest.raises(ZooError, match=f"distill.teacher: .*{text}"):
            LogitDistill(teacher=run).folder()
    model_folder.rename(run / "model")
    assert LogitDistill(teacher=run).folder() == run / "model"
    with pytest.raises(ZooError, match=r"distill.teacher: no such folder: .*nowhere \(give a finished run"):
        LogitDistill(teacher=tmp_path / "nowhere").folder()
    # Weights that need pickle are not accepted.
    (run / "model" / "model.safetensors").rename(run / "model" / "pytorch_model.bin")
    with pytest.raises(ZooError, match=r"no config\.json with model\.safetensors"):
        LogitDistill(teacher=run / "model").folder()


def _models() -> tuple[Any, Any, torch.Tensor]:
    torch.manual_seed(0)
    student, teacher = (timm.create_model(name, num_classes=4).eval() for name in ("test_resnet", "test_efficientnet"))
    for model in (student, teacher):
        nn.init.normal_(model.get_classifier().weight)
    return student, teacher, torch.randn(6, 3, 32, 32)


@torch.no_grad()
def test_the_loss_of_logits_is_timms() -> None:
    student, teacher, images = _models()
    task = LogitDistillationTask(student, teacher, criterion=nn.CrossEntropyLoss(), temperature=3.0, verbose=False)
    theirs = task(images, torch.zeros(6, dtype=torch.long))["kd_loss"]
    shown = task.teacher.normalize_input(images, task.student_mean, task.student_std)  # type: ignore[operator]
    ours = LogitDistill(teacher=Path("x"), temperature=3).losses(student(images), teacher(shown))
    assert ours.shape == (6,)
    torch.testing.assert_close(ours.mean(), theirs)


@torch.no_grad()
def test_the_loss_of_features_is_timms() -> None:
    student, teacher, images = _models()
    task = FeatureDistillationTask(student, teacher, criterion=nn.CrossEntropyLoss(), distill_loss_weight=1, verbose=False)
    theirs = task(images, torch.zeros(6, dtype=torch.long))["kd_loss"]
    _, features = task.trainable_module(images)
    shown = task.teacher.normalize_input(images, task.student_mean, task.student_std)  # type: ignore[operator]
    ours = FeatureDistill(teacher=Path("x")).losses(features, task.teacher(shown, return_features=True))
    assert ours.shape == (6,)
    torch.testing.assert_close(ours.mean(), theirs)
