"""Load a MODEL: a run, a model folder, a hub or timm name, or an exported file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import timm
import timm.data
from torch import nn

from zoo.data.views import VIEWS
from zoo.errors import ZooError, first_line
from zoo.inference.classifier import Classifier
from zoo.inference.networks import TimmNetwork
from zoo.inference.preprocessing import Preprocessing
from zoo.inference.source import HUB, WHERE, Source, find_source
from zoo.models.model_folder import load_whole, read_config


def load(model: str | os.PathLike[str], tta: str | None = None) -> Classifier:
    """Load a model for prediction.

    Args:
        model: a run folder, its `model/`, `local-dir:PATH`, `hf-hub:OWNER/NAME`, a timm name (pretrained), or a file that
            `zoo export` wrote.
        tta: the views of each image that predictions average: none, hflip or five_crop; None for the views that the
            run was scored with.

    Raises:
        ZooError: there is no such model, its weights are not available, or it is damaged.
    """
    source = find_source(model)
    tta = views_of_model(source) if tta is None else tta
    check_views(tta)
    if source.kind == "file":
        from zoo.inference.exported import load_exported

        return load_exported(source, tta)
    built = _by_name(source) if source.kind == "timm" else _in_timms_form(source)
    config = timm.data.resolve_model_data_config(built)
    if config["input_size"][0] != 3:
        raise ZooError(source.name, f"this model takes images of {config['input_size'][0]} channels, not RGB", "use another")
    classes, aliases = class_names(getattr(built, "pretrained_cfg", {}) or {}, int(getattr(built, "num_classes", 0)))
    preprocessing = Preprocessing(config)
    return Classifier(source, classes, TimmNetwork(built, preprocessing), preprocessing, aliases, tta)


def views_of_model(source: Source) -> str:
    """Return the views that a model's predictions average, according to its folder; `none` if no folder says so.

    Raises:
        ZooError: the folder is damaged.
    """
    return str(read_config(source.path).get("tta", "none")) if source.kind == "folder" and source.path is not None else "none"


def check_views(tta: str) -> None:
    """Check that the value of `tta` is known.

    Raises:
        ZooError: the value is unknown.
    """
    if tta not in VIEWS:
        raise ZooError("--tta", f"unknown value {tta!r}", f"known: {', '.join(VIEWS)}")


def _by_name(source: Source) -> nn.Module:
    """Build a backbone with its pretrained weights, including its own head."""
    from zoo.models.build import build_model
    from zoo.models.options import Backbone

    config = timm.get_pretrained_cfg(source.name)
    classes, size = (config.num_classes, config.input_size[-1]) if config else (1000, 224)
    backbone = Backbone(name=source.name)
    found = backbone.weights.find(source.name)
    return build_model(backbone, found, classes, size).model


def _in_timms_form(source: Source) -> nn.Module:
    """Build a model from a folder or a hub repository in timm's format."""
    if source.path is not None:
        read_config(source.path)  # the error names a damaged folder
    name = source.name if source.kind == "hub" else f"local-dir:{source.path}"
    if source.kind == "hub":
        _reach(source.name.removeprefix(HUB))
    where = str(source.path or source.name)
    todo = "check the name and the network" if source.kind == "hub" else "the model folder is damaged: train or copy it again"
    return load_whole(name, where, todo)


def _reach(repository: str) -> None:
    """Check within seconds that a repository is cached or can be reached: the hub's library retries for most of a minute.

    Raises:
        ZooError: the name is not valid, or the repository is neither cached nor reachable.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.utils import HFValidationError

    try:
        if isinstance(try_to_load_from_cache(repository, "config.json"), str):
            return
    except HFValidationError as error:
        what = f"'{repository}' is not a valid hub name: {first_line(error)}"
        raise ZooError(WHERE, what, "write the name as the hub shows it") from None
    what = f"{repository} is not in the cache {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        raise ZooError(WHERE, f"{what}, and HF_HUB_OFFLINE is set", "download it before, or copy it there")
    try:
        get_hf_file_metadata(hf_hub_url(repository, "config.json"), timeout=4)
    except Exception as error:  # every kind of network failure, of several libraries
        what += f", and cannot be read from the hub ({type(error).__name__})"
        raise ZooError(WHERE, what, "check the name and the network") from None


def class_names(config: dict[str, Any], count: int) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the names of a model's classes, and their aliases.

    Args:
        config: timm's pretrained configuration of the model.
        count: number of outputs.

    Returns:
        The names and the aliases (lower case to output). Names are the model's `label_names`; without these, ImageNet's
        descriptions if the number of outputs fits one of its sets, with synsets and synonyms as aliases; else the output
        numbers.
    """
    if config.get("label_names"):
        names = tuple(config["label_names"])
        texts = config.get("label_descriptions") or {}
        described = [texts.get(name, "") for name in names] if isinstance(texts, dict) else list(texts)
        return names, _aliases(described)
    subset = timm.data.infer_imagenet_subset({"num_classes": count})
    if count == 0 or subset is None:
        return tuple(str(index) for index in range(count)), {}
    info = timm.data.ImageNetInfo(subset)
    texts = [info.index_to_description(index) for index in range(count)]
    synsets = {info.index_to_label_name(index).lower(): index for index in range(count)}
    return _unique(texts), _aliases(texts) | synsets


def _unique(texts: Sequence[str]) -> tuple[str, ...]:
    """Return descriptions; those that several classes share get the class number added (ImageNet has two cranes)."""
    return tuple(text if texts.count(text) == 1 else f"{text} [{index}]" for index, text in enumerate(texts))


def _aliases(texts: Sequence[str]) -> dict[str, int]:
    """Return the parts of descriptions such as `tabby, tabby cat` that name a single class, in lower case, with its output."""
    found: dict[str, set[int]] = {}
    for index, text in enumerate(texts):
        for part in {text.lower(), *(part.strip().lower() for part in text.split(","))} - {""}:
            found.setdefault(part, set()).add(index)
    return {part: next(iter(places)) for part, places in found.items() if len(places) == 1}
