from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from zoo.deploy.export import export
from zoo.errors import ZooError
from zoo.inference.exported import OnnxNetwork, TorchNetwork, notes_of
from zoo.inference.load import load
from zoo.models.save import save_model

CONFIG = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save a small model, export it in several ways, and return the paths by name."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("exports")
    (root / "model").mkdir()
    save_model(timm.create_model("test_resnet", num_classes=3), root / "model", ("a", "b", "ü"), 32, CONFIG)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    found = {"model": root / "model"}
    for name, options in {
        "inside.onnx": {"format": "onnx"},
        "fixed.onnx": {"format": "onnx", "batch": 2},
        "outside.onnx": {"format": "onnx", "preprocess": "outside"},
        "a.pt2": {"format": "torch"},
    }.items():
        found[name] = export(root / "model", **options, out=root / name, check=root).path
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inside.onnx", "fixed.onnx", "outside.onnx", "a.pt2"])
def test_an_exported_file_is_a_model(places: dict[str, Path], name: str) -> None:
    files = [places["model"].parent / f"{number}.png" for number in (0, 1, 1, 2, 0)]
    live, exported = load(places["model"]), load(places[name])
    assert exported.classes == live.classes
    torch.testing.assert_close(exported.logits(files).softmax(1), live.logits(files).softmax(1), atol=2e-3, rtol=0)
    with pytest.raises(ZooError, match="it outputs classes, not features"):
        exported.embed(files[0])
    with pytest.raises(ZooError, match="an exported file has no timm model"):
        _ = exported.model


@pytest.mark.slow
def test_an_exported_file_is_known_by_what_it_takes(places: dict[str, Path]) -> None:
    inside, fixed, program = OnnxNetwork(places["inside.onnx"]), OnnxNetwork(places["fixed.onnx"]), TorchNetwork(places["a.pt2"])
    assert (inside.takes_pixels, program.takes_pixels) == (True, False)
    assert (inside.batch, fixed.batch) == (None, 2)
    assert program.config["input_size"] == [3, 32, 32]


def test_notes_are_texts() -> None:
    notes = notes_of(("ü", "b"), CONFIG | {"input_size": (3, 8, 8)}, inside=True, license="", run="x")
    assert json.loads(notes["names"]) == ["ü", "b"]
    assert (notes["mean"], notes["interpolation"], notes["run"], "license" in notes) == ("[0.5, 0.5, 0.5]", "bicubic", "x", False)


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2"])
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ZooError, match="export the run again") as caught:
        load(tmp_path / name)
    assert len(caught.value.lines) == 1
