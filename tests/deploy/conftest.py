"""Fixtures for the tests of exports: a small model as `zoo export` loads it, and photographs of many sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from skimage import data

from zoo.deploy.subject import Subject, subject_of
from zoo.models.save import save_model

CLASSES = ("cat", "dog", "übel", "d")
CONFIG = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "crop_mode": "center",
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a model folder of a small ResNet with random weights, 32 px."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "small" / "model"
    folder.mkdir(parents=True)
    model = timm.create_model("test_resnet", num_classes=len(CLASSES))
    # Larger weights, so that the probabilities differ from image to image.
    model.get_classifier().weight.data.mul_(8)
    save_model(model, folder, CLASSES, 32, CONFIG)
    return folder


@pytest.fixture
def subject(model_folder: Path) -> Subject:
    return subject_of(model_folder)


@pytest.fixture(scope="session")
def photographs() -> list[Image.Image]:
    """Return real photographs: square, wide, tall, small, and with odd sides."""
    first = Image.fromarray(data.astronaut())
    wide, coffee = Image.fromarray(data.chelsea()), Image.fromarray(data.coffee())
    crops = [coffee.crop((10, 20, 143, 331)), wide.crop((100, 60, 131, 77)), coffee.resize((36, 36)), first.resize((40, 37))]
    return [first, wide, coffee, *crops, first.transpose(Image.Transpose.ROTATE_90), wide.rotate(90, expand=True)]


@pytest.fixture(scope="session")
def check_folder(tmp_path_factory: pytest.TempPathFactory, photographs: list[Image.Image]) -> Path:
    """Save the photographs in one folder for each class; one of the classes is unknown to the model."""
    root = tmp_path_factory.mktemp("check")
    for number, photograph in enumerate(photographs):
        place = root / (*CLASSES, "unknown")[number % 5]
        place.mkdir(exist_ok=True)
        photograph.save(place / f"{number}.png")
    return root


@pytest.fixture(autouse=True)
def _quick_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.deploy.proof.REPEATS", 1)
    monkeypatch.setattr("zoo.deploy.proof.MANY", 4)


@pytest.fixture(scope="session")
def run_graph() -> Callable[..., np.ndarray]:
    """Return a function that runs an ONNX graph from memory with onnxruntime."""
    onnxruntime = pytest.importorskip("onnxruntime")

    def run(graph: Any, inputs: np.ndarray) -> np.ndarray:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: inputs})[0]

    return run
