"""Building a timm model and loading weights into it, with every tensor accounted for.

However weights are found, timm loads them, with the filters it has for each architecture (renamed tensors,
position embeddings of another size, the stem). Nothing here runs code from a file.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn

from zoo.errors import ZooError
from zoo.models.head import classifier_names, head_parameters, init_head
from zoo.models.options import Backbone
from zoo.models.weight_sources import WHERE, Found, Tensors
from zoo.system.files import cache_root
from zoo.system.locks import exclusive

# Classifiers that were trained on inner layers of a network and are no part of it afterwards.
AUXILIARY = ("AuxLogits", "aux", "aux1", "aux2", "aux_head")


@dataclass(frozen=True)
class BuiltModel:
    """A model ready for fine-tuning: `head` holds the names of its last layer's parameters."""

    model: nn.Module
    source: str
    report: str
    head: tuple[str, ...]


def build_model(backbone: Backbone, found: Found | None, classes: int, image_size: int, *, grows: bool = False) -> BuiltModel:
    """Create a backbone with a head of `classes` outputs and load its weights.

    Args:
        backbone: its name and options.
        found: what its `weights.find` gave.
        classes: number of classes.
        image_size: largest training size in pixels.
        grows: whether the image size changes while training.

    Raises:
        ZooError: the weights are missing or do not fit, or the backbone does not take the image size.
    """
    kwargs = backbone.kwargs() | _size_kwargs(backbone.name, image_size, grows)
    if found is None:
        model = _create(backbone.name, image_size, num_classes=classes, **kwargs)
        head = head_parameters(model)
        return BuiltModel(init_head(model, backbone.head_init), "random initialization", "nothing loaded", head)
    overlay, own_head = _overlay(backbone.name, found, classes)
    with _recorded() as seen, exclusive(cache_root() / "weights.lock"):
        model = _create(
            backbone.name, image_size, found, num_classes=classes, pretrained=True, pretrained_cfg_overlay=overlay, **kwargs
        )
    head = head_parameters(model)
    report = _check_loaded(model, head, seen, found, own_head)
    # What the weights were read from must not stay with the model, nor go into an exported one.
    getattr(model, "pretrained_cfg", {}).pop("state_dict", None)
    if not own_head:
        init_head(model, backbone.head_init)
    return BuiltModel(model, found.source, report, head)


def _size_kwargs(name: str, image_size: int, grows: bool) -> dict[str, Any]:
    """What an architecture of fixed input size needs to take another one."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if config is None or not config.fixed_input_size:
        return {}
    if grows:
        return {"img_size": image_size, "dynamic_img_size": True}
    return {"img_size": image_size}


def _create(name: str, image_size: int, found: Found | None = None, **kwargs: Any) -> nn.Module:
    try:
        return timm.create_model(name, **kwargs)
    except (LookupError, AttributeError) as error:
        if found is None or found.tensors is None:
            raise
        # timm's filter for this architecture looks for what the file lacks.
        raise ZooError(WHERE, f"{found.source} does not fit {name}: no {error}", "check backbone.name") from None
    except (TypeError, AssertionError, ValueError) as error:
        if "dynamic_img_size" in str(error):
            what = f"{name} cannot change its image size while training"
            raise ZooError("image_size", what, f"write image_size: {image_size}") from None
        if "img_size" in kwargs or isinstance(error, AssertionError):
            what = f"{name} does not take {image_size} px: {error}"
            raise ZooError("image_size", what, "use its own size, or a multiple of its stride") from None
        raise ZooError("backbone", f"{name} cannot be created: {error}", "check drop_rate and drop_path_rate") from None
    except RuntimeError as error:
        source = found.source if found else name
        shapes = re.findall(r"size mismatch for ([\w.]+)", str(error))
        config = timm.get_pretrained_cfg(name) if found and found.source.startswith("hub") else None
        native = config.input_size[-1] if config else image_size
        if shapes and native != image_size:
            what = f"{name} does not take {image_size} px: {len(shapes)} tensors of its weights are for {native} px"
            raise ZooError("image_size", f"{what}, first {shapes[0]}", f"write image_size: {native}") from None
        if shapes:
            what = f"{source} does not fit {name}: {len(shapes)} shapes differ, first {shapes[0]}"
            raise ZooError(WHERE, what, "check backbone.name") from None
        raise ZooError(WHERE, f"{source} does not fit {name}: {str(error).splitlines()[0]}", "check backbone.name") from None


def _overlay(name: str, found: Found, classes: int) -> tuple[dict[str, Any], bool]:
    """What timm is to load, and whether the head comes with it."""
    if found.tensors is None:
        return {}, getattr(timm.get_pretrained_cfg(name), "num_classes", None) == classes
    # Built without memory, to know the names and shapes.
    with torch.device("meta"):
        reference = timm.create_model(name).state_dict()
    tensors = timm.models.clean_state_dict(found.tensors)
    if found.by_order:
        tensors = _renamed(tensors, reference, found, name)
    weight = next((tensors[key] for head in classifier_names(name)[:1] if (key := f"{head}.weight") in tensors), None)
    outputs = len(weight) if weight is not None else None
    # timm takes an empty state dict for none, and would go to the hub.
    if not tensors or (not any(key in reference for key in tensors) and not _filtered(name)):
        total = len(reference)
        some = next(iter(reference))
        raise ZooError(WHERE, f"{found.source} matches 0 of {total} tensors of {name}", f"rename its keys, e.g. {some}")
    # timm drops the head where this differs from the model's number of classes.
    return {"state_dict": tensors, "num_classes": outputs if outputs is not None else -1}, outputs == classes


def _filtered(name: str) -> bool:
    """Whether timm's loader may know other names for this architecture's tensors."""
    module = timm.models.model_entrypoint(name.partition(".")[0]).__module__
    return hasattr(importlib.import_module(module), "checkpoint_filter_fn")


def _renamed(tensors: Tensors, reference: Tensors, found: Found, name: str) -> Tensors:
    """Give another library's tensors timm's names, by their order."""
    same = len(tensors) == len(reference) and all(
        ours.shape == theirs.shape for ours, theirs in zip(reference.values(), tensors.values(), strict=True)
    )
    if not same:
        raise ZooError(WHERE, f"the tensors of {found.source} are not those of {name}, in their order", "check backbone.name")
    return dict(zip(reference, tensors.values(), strict=True))


@contextlib.contextmanager
def _recorded() -> Iterator[list[Any]]:
    """Note what `load_state_dict` says, where timm logs it and moves on, or gets an error of many lines."""
    seen: list[Any] = []
    original = nn.Module.load_state_dict

    def load_state_dict(self: nn.Module, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:  # noqa: ARG001
        result = original(self, state_dict, strict=False, assign=assign)
        seen.append(result)
        return result

    logger = logging.getLogger("timm")
    level = logger.level
    nn.Module.load_state_dict = load_state_dict  # type: ignore[method-assign]
    # What it would warn of is counted here, and an error.
    logger.setLevel(logging.ERROR)
    try:
        yield seen
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]
        logger.setLevel(level)


def _check_loaded(model: nn.Module, head: tuple[str, ...], seen: list[Any], found: Found, own_head: bool) -> str:
    """Count the tensors that were loaded; any that is missing or unexpected, but for a new head's, is an error."""
    names = list(model.state_dict())
    if not seen:
        return f"loaded by timm's own reader of {len(names)} tensors"
    # Some weights have neither a classifier nor the norm before it; some have an auxiliary classifier besides.
    beside = {key.rpartition(".")[0].rpartition(".")[0] for key in head} - {""}
    lacking = [] if own_head else [key for key in seen[-1].missing_keys if key not in head and _within(key, beside)]
    body = [name for name in names if own_head or (name not in head and name not in lacking)]
    missing = [key for key in seen[-1].missing_keys if key in body]
    unexpected = [key for key in seen[-1].unexpected_keys if not _within(key, AUXILIARY)]
    if missing or unexpected:
        what = f"{found.source} matches {len(body) - len(missing)} of {len(body)} tensors"
        if missing:
            what += f", {len(missing)} missing, first {missing[0]}"
        if unexpected:
            what += f", {len(unexpected)} unexpected, first {unexpected[0]}"
        raise ZooError(WHERE, what, "check backbone.name")
    state = model.state_dict()
    broken = [name for name in body if not torch.isfinite(state[name]).all()]
    if broken:
        raise ZooError(WHERE, f"{found.source} holds values that are not finite, first in {broken[0]}", "use other weights")
    text = f"{len(body)} of {len(body)} tensors" + (", its head too" if own_head else ", new head")
    if lacking:
        text += f" with {', '.join(lacking)}"
    auxiliary = len(seen[-1].unexpected_keys)
    return text + (f", {auxiliary} tensors of an auxiliary head left out" if auxiliary else "")


def _within(key: str, modules: Collection[str]) -> bool:
    """Whether a tensor belongs to one of the modules."""
    return any(key.startswith(f"{module}.") for module in modules)


def data_config(name: str) -> dict[str, Any]:
    """What a backbone's weights were trained on: `mean, std, interpolation, crop_pct`."""
    import timm.data

    config = timm.get_pretrained_cfg(name)
    return {
        key: value
        for key, value in timm.data.resolve_data_config(pretrained_cfg=config.to_dict() if config else {}).items()
        if key in ("mean", "std", "interpolation", "crop_pct")
    }
