from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from skimage import data

from tests.helpers.command_line import mistake, printed
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


def test_what_was_found_is_printed(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(model), "--format", "torch", "--out", str(tmp_path / "a.pt2"), "--check", str(tmp_path / "check")]
    text = printed(capsys, *words)
    assert "torch fp32, normalized batches in" in text
    assert "1 of 1 answers; largest difference of a probability" in text
    assert json.loads(printed(capsys, *words, "--json"))["format"] == "torch"


def test_a_mistake_is_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'torch'" in mistake(capsys, "export", str(model), "--format", "troch")
    assert "timmx export openvino" in mistake(capsys, "export", str(model), "--format", "openvino")
    assert "--check FOLDER" in mistake(capsys, "export", str(model), "--format", "timm", "--out", str(model.parent / "new"))
