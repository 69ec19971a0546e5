from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from skimage import data

import zoo
from tests.helpers.command_line import mistake, printed
from zoo.commands.export import add_arguments
from zoo.deploy.export import export
from zoo.models.save import save_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    (tmp_path / "model").mkdir()
    config = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear", "crop_pct": 1.0}
    save_model(timm.create_model("test_resnet", num_classes=2), tmp_path / "model", ("a", "b"), 32, config)
    (tmp_path / "check" / "a").mkdir(parents=True)
    Image.fromarray(data.chelsea()).save(tmp_path / "check" / "a" / "cat.png")
    return tmp_path / "model"


@pytest.mark.slow
def test_what_was_found_is_printed(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(model), "--format", "torch", "--out", str(tmp_path / "a.pt2"), "--check", str(tmp_path / "check")]
    text = printed(capsys, *words)
    assert "torch fp32, normalized batches in" in text
    assert "same class for 1 of 1 image; largest difference of a probability" in text
    assert json.loads(printed(capsys, *words, "--json"))["format"] == "torch"


@pytest.mark.slow
def test_it_says_why_there_is_no_accuracy(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "check" / "a").rename(tmp_path / "check" / "strange")
    words = ["export", str(model), "--format", "timm", "--out", str(tmp_path / "new"), "--check", str(tmp_path / "check")]
    text = printed(capsys, *words)
    assert "accuracies are not compared: no class in common: the data has strange; the model has a, b" in text


def test_python_has_the_options_of_the_command() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    flags = set(vars(parser.parse_args(["run", "--format", "onnx"]))) - {"json"}
    assert set(inspect.signature(zoo.export).parameters) == set(inspect.signature(export).parameters) == flags


def test_a_mistake_is_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'torch'" in mistake(capsys, "export", str(model), "--format", "troch")
    assert "timmx export openvino" in mistake(capsys, "export", str(model), "--format", "openvino")
    assert "--check FOLDER" in mistake(capsys, "export", str(model), "--format", "timm", "--out", str(model.parent / "new"))
