"""The lines that a run prints before its first epoch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.recipes import GOOD, load
from torch import nn

from zoo.system.console import Console
from zoo.training.cached_features import Caching
from zoo.training.describe import describe_execution, describe_model


class Data:
    notes = ("class dog is in test only",)

    def __str__(self) -> str:
        return "160 train, 40 val images"


def setup(recipe: Any, *, processes: int = 1, frozen: tuple[nn.Module, ...] = (), trained: bool = True, folded: int = 0) -> Any:
    model = nn.Linear(999_999, 1).requires_grad_(trained)
    built = SimpleNamespace(model=model, source="hub cache", load_summary="all 122 tensors match")
    return SimpleNamespace(
        recipe=recipe,
        console=Console(),
        inputs=SimpleNamespace(data=Data()),
        model=SimpleNamespace(built=built, frozen=list(frozen), folded=folded, cached=Caching(None)),
        training=SimpleNamespace(
            accelerator=SimpleNamespace(num_processes=processes),
            steps_per_epoch=1,
            epochs=recipe.train.epochs,
            batch_size=recipe.train.batch_size,
            stages=None,
        ),
        device_name="AMD EPYC",
        threads=1,
        execution=SimpleNamespace(choice="fp32"),
    )


def lines(capsys: pytest.CaptureFixture[str], found: Any) -> tuple[list[str], str]:
    describe_model(found.recipe, found.inputs, found.model, found.console)
    describe_execution(found)
    output = capsys.readouterr()
    return output.out.splitlines(), output.err


def test_a_run_is_described_line_by_line_with_counts_that_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = load(tmp_path, GOOD, "train.epochs=1", "train.batch_size=1", "image_size=96")
    out, err = lines(capsys, setup(recipe))
    assert out == [
        "backbone   resnet18.tv_in1k, 1.00 M parameters, all trained",
        "weights    hub cache: all 122 tensors match",
        "data       synthetic: 160 train, 40 val images",
        "           class dog is in test only",
        "device     AMD EPYC, 1 process, 1 thread",
        "precision  fp32",
        "schedule   1 epoch of 1 step of 1 image at 96 px, adamw, one_cycle, peak lr 0.0003",
    ]
    assert err == ""


def test_several_processes_growing_images_and_a_frozen_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = load(tmp_path, GOOD, "image_size={start: 64, end: 96}", "train.epochs=10", "train.batch_size=128")
    out, _ = lines(capsys, setup(recipe, processes=2, trained=False, folded=7))
    text = "\n".join(out)
    assert "0.00 M trained, 7 frozen BatchNorm folded into convolutions while training" in text
    assert "AMD EPYC, 2 processes, 1 thread each" in text
    assert "10 epochs of 1 step of 128 images at 64 to 96 px" in text


def test_frozen_statistics_of_random_weights_are_warned_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = load(tmp_path, GOOD, "backbone.weights=random", "finetune.batch_norm=frozen", "train.epochs=1", "train.batch_size=1")
    assert "warning: BatchNorm is frozen at random weights'" in lines(capsys, setup(recipe, frozen=(nn.BatchNorm2d(3),)))[1]
    assert lines(capsys, setup(recipe))[1] == ""


def test_several_views_and_what_they_cost_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    settings = ["eval.tta=hflip", "train.epochs=1", "train.batch_size=1"]
    out, err = lines(capsys, setup(load(tmp_path, GOOD, *settings, "augment.hflip=true")))
    assert out[-1] == "views      each image and its mirror in each evaluation, which takes 2 times as long"
    assert err == ""
    _, err = lines(capsys, setup(load(tmp_path, GOOD, *settings, "augment.hflip=false")))
    assert err == "warning: eval.tta hflip shows mirrored images, and training does not (augment.hflip is false)\n"
