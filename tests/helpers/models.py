"""Build small models, and save them as a run does."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import nn

from zoo.models.layers import batch_norms
from zoo.models.save import save_model

CLASSES = ("left", "right", "tö,p")
DATA = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "interpolation": "bicubic", "crop_pct": 0.9}


def lively(name: str = "test_resnet", classes: int = len(CLASSES)) -> nn.Module:
    """Build a model with BatchNorm layers that change their input, and with clearly different logits for each class."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=classes)
    with torch.no_grad():
        for _, norm in batch_norms(model):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.1)
        model.get_classifier().weight.normal_(0, 1)
    return model.eval()


def save_tiny(folder: Path, classes: tuple[str, ...] = CLASSES, name: str = "test_resnet", size: int = 48) -> Path:
    """Save a model from `lively` to a new folder; return the folder."""
    save_model(lively(name, len(classes)), folder, classes, size, DATA)
    return folder
