"""Runs with a teacher resume to the same bits, and save only the student."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from helpers.runs import history, run, same, stop_at, weights

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.training import checkpoint
from zoo.training.forecast import forecast
from zoo.training.teacher import Teacher

FEW = ["train.epochs=1", "data.train_images=40"]
VARIED = ["augment.mixup=0.4", "augment.erase=0.3", "backbone.drop_rate=0.2", "train.ema=0.9", "train.class_weights=balanced"]


@pytest.fixture
def teacher(tiny: Path) -> Path:
    """Train a teacher for one epoch; return its run folder."""
    return run(tiny, "name=teacher", "train.epochs=1", "data.train_images=20", "backbone.name=test_efficientnet")[0]


@pytest.mark.parametrize("kind", ["logit", "feature"])
def test_a_run_that_goes_on_equals_one_that_never_stopped(
    tiny: Path, teacher: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*VARIED, f"distill={teacher}", f"distill.kind={kind}", "output.checkpoint_every=1 step", *FEW]
    whole, result = run(tiny, *overrides)
    stop_at(3, tiny, *overrides)
    folder, _ = run(tiny, *overrides, resume=whole.parent / "tiny-2")
    assert same(whole, folder)
    assert history(whole)[0]["train.loss"] == history(folder)[0]["train.loss"]
    accuracy = json.loads((teacher / "result.json").read_text())["val"]["accuracy"]
    line = f"teacher    {teacher}: test_efficientnet, 0.1 M parameters, {accuracy:.1%} on val".replace("%", " %")
    assert line in capsys.readouterr().out
    assert result["status"] == "done"


@pytest.mark.parametrize("kind", ["logit", "feature"])
def test_what_is_saved_is_the_student_alone(tiny: Path, teacher: Path, kind: str) -> None:
    alone, _ = run(tiny, *FEW)
    folder, _ = run(tiny, *FEW, f"distill={teacher}", f"distill.kind={kind}")
    assert weights(folder).keys() == weights(alone).keys()
    assert not same(folder, alone), "the teacher changes what is learned"
    model = timm.create_model(f"local-dir:{folder / 'model'}", pretrained=True)
    assert type(model) is type(timm.create_model("test_resnet"))
    kept = json.loads((folder / "environment.json").read_text())["teacher"]
    assert kept["path"] == str(teacher)
    saved = checkpoint.newest(folder / "checkpoints")[1]
    assert saved.state["teacher"] == kept
    assert ("projection" in saved.tensors) == (kind == "feature")


def test_features_are_learned_through_a_layer_that_is_trained(tiny: Path, teacher: Path) -> None:
    overrides = [f"distill={teacher}", "distill.kind=feature", "distill.weight=1", "finetune.head_lr_scale=1"]
    folder, _ = run(tiny, *overrides, "train.epochs=2", "output.keep_last=2", "data.train_images=80")
    first, last = (checkpoint.load(path).tensors["projection"] for path in sorted((folder / "checkpoints").glob("step-*")))
    assert not torch.equal(first["weight"], last["weight"])
    assert history(folder)[1]["train.loss"] < history(folder)[0]["train.loss"]


@pytest.mark.slow
def test_a_student_comes_to_answer_as_its_teacher_does(tiny: Path) -> None:
    """With a weight of 1 the loss has no part of the labels, so the student learns only from the teacher."""
    knows, _ = run(tiny, "name=knows", "train.epochs=3", "backbone.name=test_efficientnet")
    folder, result = run(tiny, f"distill={knows}", "distill.weight=1", "train.epochs=4")
    assert result["test"]["accuracy"] > 0.9
    assert history(folder)[-1]["train.loss"] < history(folder)[0]["train.loss"]


def test_resuming_needs_the_same_teacher(tiny: Path, teacher: Path) -> None:
    folder, _ = run(tiny, f"distill={teacher}", *FEW)
    longer = [f"distill={teacher}", FEW[1], "train.epochs=2"]
    moved = teacher.rename(teacher.with_name("moved"))
    with pytest.raises(ZooError, match=r"distill\.teacher: no such folder"):
        _resume(tiny, longer, folder)
    _resume(tiny, [f"distill={moved}", *longer[1:]], folder)
    shutil.copytree(folder / "model", moved / "model", dirs_exist_ok=True)
    with pytest.raises(ZooError, match="is not the model that the run began with"):
        _resume(tiny, [f"distill={moved}", FEW[1], "train.epochs=3"], folder)


def _resume(path: Path, overrides: list[str], folder: Path) -> None:
    from zoo.training.run import train

    train(load_recipe(path, overrides), folder, allow_change=True)


def test_a_plan_asks_the_teacher_in_each_timed_step(tiny: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    answer = Teacher.__call__
    monkeypatch.setattr(Teacher, "__call__", lambda self, images: asked.append(len(images)) or answer(self, images))
    forecast(load_recipe(tiny, [f"distill={teacher}"]))
    assert len(asked) >= 3
    assert set(asked) <= {8, 9}
