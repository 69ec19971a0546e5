"""Save a tiny untrained model to score, and note the state of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch

from zoo.models.save import save_model

DATA: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "interpolation": "bicubic", "crop_pct": 1.0}


def model_folder(place: Path, classes: tuple[str, ...]) -> Path:
    """Save a network with random weights and these class names; return its folder."""
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=len(classes))
    with torch.no_grad():
        # Random features differ little from image to image. A head with large weights makes the logits differ more.
        model.get_classifier().weight.mul_(300)  # type: ignore[operator, union-attr]
    save_model(model, place, classes, 32, DATA)
    return place


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return when each file below a folder was written, and its bytes."""
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}
