"""Write the folders of finished runs without training: the test says which images are predicted correctly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from zoo.metrics import interval
from zoo.results.predictions import HEADER, table_text

CLASSES = ("cat", "dog", 'a, "b"')
RECIPE = """\
name: {name}
backbone: {{name: {backbone}, weights: {{kind: auto}}}}
data: {{kind: digits}}
image_size: 32
optim: {{name: adamw, lr: {lr}}}
train: {{epochs: 3, seed: {seed}}}
output: {{root: runs}}
"""


def right_answers(seed: int, images: int = 200, accuracy: float = 0.8) -> np.ndarray:
    """Return which images are predicted correctly, bool [N]; an image is equally difficult for all seeds."""
    hardness = np.random.default_rng(7).random(images)
    return 0.7 * hardness + 0.3 * np.random.default_rng(seed + 100).random(images) < accuracy


def finished_run(
    folder: Path,
    right: Sequence[bool] | np.ndarray,
    *,
    backbone: str = "resnet18.tv_in1k",
    seed: int = 0,
    lr: float = 0.001,
    minutes: float = 2.0,
    speed: float | None = 400.0,
    cpu: str = "AMD EPYC",
    files: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
    val: float = 0.5,
    **result: Any,
) -> Path:
    """Write a finished run; return its folder."""
    folder.mkdir(parents=True)
    right = np.asarray(right, dtype=bool)
    count = len(right)
    targets = np.array(labels if labels is not None else np.arange(count) % len(CLASSES), dtype=np.int64)
    predicted = np.where(right, targets, (targets + 1) % len(CLASSES))
    logits = np.eye(len(CLASSES), dtype=np.float32)[predicted]
    names = files if files is not None else [f"{CLASSES[target]}/{place:04}.png" for place, target in enumerate(targets)]
    rows: list[tuple[str | int, ...]] = [("val", "v.png", CLASSES[0], CLASSES[0], "0.9", 1, "0.9")]
    for name, target, guess in zip(names, targets, predicted, strict=True):
        rows.append(("test", name, CLASSES[target], CLASSES[guess], "0.9", int(target == guess), "0.5"))
    (folder / "predictions.csv").write_text(table_text(HEADER, rows), encoding="utf-8")
    tensors = {"logits": logits, "targets": targets, "val_targets": np.zeros(50, dtype=np.int64)}
    save_file(tensors, folder / "predictions.safetensors")
    accuracy = float(right.mean())
    scores = {"accuracy": accuracy, "loss": 1 - accuracy, "top5": 1.0, "macro_f1": accuracy / 2, "ece": 0.1, "n": count}
    values = {
        "version": 2, "status": "done", "name": folder.name, "backbone": backbone, "weights": "auto", "weights_source": "cache",
        "num_classes": len(CLASSES), "classes": CLASSES, "params": 11_000_000, "image_size": 32, "epochs": 3, "steps": 30,
        "selected_by": "val.accuracy", "selected_epoch": 2, "val": {"accuracy": val, "loss": 1.0},
        "test": scores | {"ci95": interval(accuracy, count), "per_class": {}}, "test_scored": "once, after selection",
        "train": {
            "loss": 0.3, "accuracy": 0.9, "images_per_second": 120.0, "data_share": 0.01, "seconds": 60 * minutes,
            "peak_memory_mb": 700.0, "eval_images_per_second": speed,
        },
        "precision": "fp32", "channels_last": True, "compile": False, "batch_size": 32, "processes": 1, "seed": seed,
        "versions": {}, "device": cpu, "device_type": "cpu",
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(values | result), encoding="utf-8")
    text = RECIPE.format(name=folder.name, backbone=backbone, lr=lr, seed=seed)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps({"cpu": cpu, "cores": 2}), encoding="utf-8")
    return folder
