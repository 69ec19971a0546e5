"""The model to export, with its classes, preprocessing, run and license."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from zoo.errors import ZooError
from zoo.inference.load import load
from zoo.inference.preprocessing import Preprocessing
from zoo.inference.source import find_source
from zoo.models import catalog
from zoo.results.folder import RunFolder
from zoo.results.result import Result, read_result
from zoo.system.files import digest


@dataclass(frozen=True)
class Subject:
    """The model to export.

    Attributes:
        name: name of the run, or of the model if it has no run; the default name of the exported file.
        model: the model in evaluation mode, float32, on the CPU.
        classes: names of the classes, in label order.
        preprocessing: turns images into the model's input.
        folder: the model folder; None for a name of timm or of the hub.
        run: the run of the model, or None.
        aliases: other names of the classes, in lower case, and their labels.
        tta: the views of an image that the run was scored with.
    """

    name: str
    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    folder: Path | None
    run: RunFolder | None
    aliases: Mapping[str, int] = field(default_factory=dict)
    tta: str = "none"

    @property
    def size(self) -> int:
        """Return the side of the model's images in pixels."""
        return self.preprocessing.size

    @property
    def config(self) -> dict[str, Any]:
        """Return timm's data configuration."""
        return self.preprocessing.config

    @property
    def result(self) -> Result | None:
        """Read the results of the run, or return None if there is no run."""
        return read_result(self.run) if self.run else None

    @property
    def backbone(self) -> str:
        """Return the name of the backbone, with its tag if it is known."""
        config = self.pretrained
        name, tag = str(config.get("architecture") or type(self.model).__name__), config.get("tag")
        result = self.result
        return result.backbone if result else f"{name}.{tag}" if tag else name

    @property
    def pretrained(self) -> dict[str, Any]:
        """Return timm's configuration of the weights."""
        return dict(getattr(self.model, "pretrained_cfg", None) or {})

    @property
    def license(self) -> str:
        """Return the license of the pretrained weights; '' if it is unknown, or the run did not begin with timm's own weights."""
        result = self.result
        if result:
            return catalog.license_of(result.backbone, result.weights)
        entry = catalog.named(self.backbone)
        return str(self.pretrained.get("license") or (entry.license if entry else "") or "")

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the model folder's weights, or '' if there are none."""
        weights = self.folder / "model.safetensors" if self.folder else None
        return digest(weights) if weights and weights.exists() else ""


def subject_of(model: str | os.PathLike[str], image_size: int | None = None) -> Subject:
    """Load the model to export, for another image size if one is given.

    Raises:
        ZooError: there is no such model, it is an exported file, it has no classes, or it cannot take images of this size.
    """
    if find_source(model).kind == "file":
        raise ZooError(str(model), "this is an exported file", "give the run that it came from")
    found = load(model)
    assert found.preprocessing is not None
    # The model is exported and compared on the CPU, whichever device `load` chose.
    source, net, config = found.source, found.model.cpu().eval(), dict(found.preprocessing.config)
    if not found.classes:
        raise ZooError(str(model), "this model has no classes", "give one with a head")
    if image_size is not None and image_size != found.preprocessing.size:
        config["input_size"] = (3, image_size, image_size)
        net = _resized(net, source.path, image_size)
    place = source.run or source.path
    # For `..` and links, use the name of the folder that they lead to.
    name = place.resolve().name if place else source.name.rpartition("/")[2]
    run = RunFolder(source.run) if source.run else None
    return Subject(name, net, tuple(found.classes), Preprocessing(config), source.path, run, found.aliases, found.tta)


def _resized(model: nn.Module, folder: Path | None, size: int) -> nn.Module:
    """Return a model that takes images of another size; timm builds transformers of a fixed size again.

    Raises:
        ZooError: the model cannot take this size.
    """
    if not getattr(model, "pretrained_cfg", {}).get("fixed_input_size"):
        return model
    import timm

    try:
        if folder is None:
            raise ValueError("its size is fixed")
        return timm.create_model(f"local-dir:{folder}", pretrained=True, img_size=size).eval()
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ZooError("--image-size", f"{size} px do not fit this backbone: {error}", "leave it out") from None
