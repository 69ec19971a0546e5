"""Write a model as timm reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_model(model: nn.Module, folder: Path, classes: tuple[str, ...], image_size: int, data: dict[str, Any]) -> None:
    """Write a model as timm reads it: `timm.create_model("local-dir:FOLDER", pretrained=True)`.

    Args:
        model: any memory format; nothing folded.
        folder: gets `config.json` and `model.safetensors`.
        classes: class names, in label order.
        image_size: the size it is evaluated at.
        data: `mean, std, interpolation, crop_pct` that it was trained with.
    """
    from timm.models import save_for_hf

    model.to(memory_format=torch.contiguous_format)
    args = {"img_size": image_size} if getattr(model, "pretrained_cfg", {}).get("fixed_input_size") else None
    save_for_hf(
        model,
        str(folder),
        model_config={"label_names": list(classes), "num_classes": len(classes)},
        model_args=args,
        safe_serialization=True,
        data_config={"input_size": (3, image_size, image_size), "crop_mode": "center", **data},
    )
