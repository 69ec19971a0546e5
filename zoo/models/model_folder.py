"""Read a model folder in timm's format: `config.json` and `model.safetensors`, as a run and timm itself save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
from torch import nn

from zoo.errors import ZooError, first_line
from zoo.models.loading import recorded


def read_config(folder: Path) -> dict[str, Any]:
    """Return a model folder's `config.json`.

    Raises:
        ZooError: the file cannot be read, or names no architecture.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, dict) and isinstance(config.get("architecture"), str):
            return config
        raise ValueError("no architecture in it")
    except (OSError, ValueError) as error:
        raise ZooError(str(path), f"cannot be read: {error}", "the model folder is damaged") from None


def load_whole(name: str, where: str, todo: str) -> nn.Module:
    """Build a model in timm's format, and check that every tensor was loaded.

    Args:
        name: `local-dir:PATH` or `hf-hub:OWNER/NAME`.
        where: the place that an error names.
        todo: the advice of an error if the files cannot be read.

    Raises:
        ZooError: the model cannot be loaded, or its weights do not fit.
    """
    try:
        with recorded() as seen:
            model = timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever timm, safetensors and the hub's library raise
        raise ZooError(where, f"cannot be loaded: {first_line(error).rstrip(':')}", todo) from None
    left = next((loaded for module, loaded in reversed(seen) if module is model), None)
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    names = config.get("label_names")
    if (left and (left.missing or left.unexpected)) or (names and len(names) != model.num_classes):
        # timm skips a head of another size, and would predict with a random one.
        what = "cannot be loaded: its weights, its number of classes and its class names do not fit together"
        raise ZooError(where, what, "train or copy it again")
    return model
