"""The files of a finished run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from helpers.runs import history, run
from safetensors.torch import load_file

from zoo.data.decode import open_rgb
from zoo.metrics import METRICS
from zoo.recipe.load import load_recipe
from zoo.system.table import percent


def test_a_run_learns_and_leaves_a_whole_folder(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, result = run(tiny, "train.epochs=4")
    assert result["test"]["accuracy"] > 0.9
    assert 0.9 < result["train"]["accuracy"] <= 1
    assert 0 < history(folder)[-1]["train.loss"] < history(folder)[0]["train.loss"] < 2
    assert result["test"]["ci95"][0] < result["test"]["accuracy"] <= result["test"]["ci95"][1]
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "recipe.yaml", "environment.json", "metrics.jsonl", "result.json", "model", "checkpoints",
        "predictions.csv", "predictions.safetensors", "curves.svg", "confusion.svg", "report.html",
    }  # fmt: skip
    assert [row["epoch"] for row in history(folder)] == [1, 2, 3, 4]
    assert result["test_scored"] == "once, after selection"
    assert "test.accuracy" not in history(folder)[0]
    assert result["selected_epoch"] == max(history(folder), key=lambda row: (row["val.accuracy"], -row["epoch"]))["epoch"]
    out = capsys.readouterr().out
    assert "random initialization" in out
    assert percent(result["test"]["accuracy"], 2) in out
    assert out.endswith(f"run        {folder} (result.json, model/, report.html)\n")


def test_every_image_of_val_and_test_is_named_with_its_prediction(tiny: Path) -> None:
    folder, result = run(tiny)
    assert result["predictions"] == "predictions.csv"
    with open(folder / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    data = load_recipe(folder / "recipe.yaml").data.load(0, 32)
    saved = load_file(folder / "predictions.safetensors")
    for split, images, prefix in (("val", data.val, "val_"), ("test", data.test, "")):
        own = [row for row in rows if row["split"] == split]
        assert [row["file"] for row in own] == images.names()
        assert [row["label"] for row in own] == [data.classes[label] for label in images.targets]
        assert [data.classes.index(row["predicted"]) for row in own] == saved[f"{prefix}logits"].argmax(1).tolist()
        assert saved[f"{prefix}targets"].tolist() == images.targets.tolist()
        # The saved logits have exactly the loss that result.json reports.
        assert METRICS["loss"](saved[f"{prefix}logits"], saved[f"{prefix}targets"]) == result[split]["loss"]
        assert sum(int(row["correct"]) for row in own) / len(own) == result[split]["accuracy"]
    assert [row["split"] for row in rows] == ["val"] * 16 + ["test"] * 30


@pytest.mark.parametrize("cut", ["val", "test"])
def test_a_run_without_val_or_test_names_the_other(image_folder: Callable[..., Path], tiny: Path, cut: str) -> None:
    root = image_folder({"a": 12, "b": 12})
    fraction = "val_fraction: 0" if cut == "val" else "test_fraction: 0"
    folder, result = run(
        tiny,
        f"data={{kind: folder, root: {root}, {fraction}}}",
        "train.epochs=1",
        f"eval.select_by={'last' if cut == 'val' else 'val.loss'}",
    )
    other = {"val": "test", "test": "val"}[cut]
    saved = load_file(folder / "predictions.safetensors")
    assert set(saved) == ({"logits", "targets"} if cut == "val" else {"val_logits", "val_targets"})
    lines = (folder / "predictions.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {other}
    assert result["predictions"] == "predictions.csv"


def test_the_model_folder_is_timm_s_own(tiny: Path) -> None:
    folder, result = run(tiny, "finetune.batch_norm=frozen", "augment.crop=random_resized")
    model = timm.create_model(f"local-dir:{folder / 'model'}", pretrained=True).eval()
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["label_names"] == [f"class{n}" for n in range(4)]
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    data = load_recipe(folder / "recipe.yaml").data.load(0, 32)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    from PIL import Image

    images = [Image.fromarray(data.test.pixels.images[index].transpose(1, 2, 0)) for index in data.test.index]
    with torch.no_grad():
        logits = model(torch.stack([transform(image) for image in images]))
    saved = load_file(folder / "predictions.safetensors")
    # Not equal: timm rounds the resized pixels to whole numbers, and the run scored a model with folded BatchNorm.
    torch.testing.assert_close(logits, saved["logits"], atol=0.05, rtol=0.05)
    assert result["test"]["accuracy"] == (saved["logits"].argmax(1) == saved["targets"]).double().mean()


@pytest.mark.parametrize("mode", ["squash", "border"])
def test_whole_photographs_are_scored_as_timm_shows_them(image_folder: Callable[..., Path], tiny: Path, mode: str) -> None:
    root = image_folder({"a": 30, "b": 30})
    data = f"data={{kind: folder, root: {root}, crop_mode: {mode}}}"
    folder, _ = run(tiny, data, "train.epochs=1", "train.batch_size=16")
    model = timm.create_model(f"local-dir:{folder / 'model'}", pretrained=True).eval()
    config = timm.data.resolve_model_data_config(model)
    assert config["crop_mode"] == mode
    transform = timm.data.create_transform(**config, is_training=False)
    with open(folder / "predictions.csv", newline="", encoding="utf-8") as file:
        images = [open_rgb(root / row["file"]) for row in csv.DictReader(file) if row["split"] == "test"]
    assert {image.width == image.height for image in images} == {False}, "these photographs are not square"
    with torch.no_grad():
        logits = model(torch.stack([transform(image) for image in images]))
    torch.testing.assert_close(logits, load_file(folder / "predictions.safetensors")["logits"], atol=0.1, rtol=0.1)
