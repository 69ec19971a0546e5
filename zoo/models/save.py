"""Save a model as a folder that timm reads."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def save_model(
    model: nn.Module, folder: Path, classes: tuple[str, ...], image_size: int, data: dict[str, Any], tta: str = "none"
) -> None:
    """Save a model for `timm.create_model("local-dir:FOLDER", pretrained=True)`.

    Args:
        model: in any memory format, and contiguous afterwards; without folded BatchNorm.
        folder: an existing or new folder, for `config.json` and `model.safetensors`.
        classes: class names, in label order.
        image_size: image size at evaluation, in pixels.
        data: the preprocessing that the model was trained with: `mean, std, interpolation, crop_pct, crop_mode`.
        tta: the views that predictions are averaged over; timm ignores the key.
    """
    from timm.models import save_for_hf

    model.to(memory_format=torch.contiguous_format)
    hook = model.register_state_dict_post_hook(lambda _module, state, prefix, _metadata: None if prefix else separate(state))
    args = {"img_size": image_size} if getattr(model, "pretrained_cfg", {}).get("fixed_input_size") else None
    try:
        save_for_hf(
            model,
            str(folder),
            model_config={"label_names": list(classes), "num_classes": len(classes), **({"tta": tta} if tta != "none" else {})},
            model_args=args,
            safe_serialization=True,
            data_config={"input_size": (3, image_size, image_size), "crop_mode": "center", **data},
        )
    finally:
        hook.remove()


def separate(tensors: MutableMapping[str, Tensor]) -> None:
    """Copy each tensor that shares its memory with an earlier one, in place: safetensors does not store one under two names.

    CoaT, for example, uses some of its layers in several blocks.
    """
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.numel() and tensor.data_ptr() in seen:
            tensors[name] = tensor.clone()
        seen.add(tensor.data_ptr())
