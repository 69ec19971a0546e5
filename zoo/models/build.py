"""Build a timm model and load weights into it.

Whatever the source of the weights, timm loads them, with its filters for each architecture (renamed tensors, position
embeddings of another size, the stem). No code from a weights file is run.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn

from zoo.errors import ZooError, first_line
from zoo.models.head import classifier_names, head_parameters, init_head
from zoo.models.loading import check_loaded, compare_tensors, load_archive, recorded
from zoo.models.options import Backbone
from zoo.models.weight_sources import WHERE, Found, Tensors


@dataclass(frozen=True)
class BuiltModel:
    """A model ready for fine-tuning.

    Attributes:
        model: the network, in training mode, on the CPU.
        source: where the weights came from.
        load_summary: how many tensors were loaded.
        head: names of the parameters of the last layer.
    """

    model: nn.Module
    source: str
    load_summary: str
    head: tuple[str, ...]


def build_model(
    backbone: Backbone, found: Found | None, classes: int, image_size: int, *, grows: bool = False, start: float = 0.0
) -> BuiltModel:
    """Create a backbone with a head of `classes` outputs and load its weights.

    Args:
        backbone: the name and options of the backbone.
        found: the result of `backbone.weights.find`; None for random weights.
        classes: number of classes.
        image_size: largest training size in pixels.
        grows: whether the image size changes during training.
        start: value added to the bias of every class of a new head, after `head_init`.

    Raises:
        ZooError: the weights are missing or do not fit, or the backbone does not accept the image size.
    """
    kwargs: dict[str, Any] = backbone.kwargs() | _size_kwargs(backbone.name, image_size, grows) | {"num_classes": classes}
    if found is None:
        model = _create(backbone.name, image_size, **kwargs)
        head = head_parameters(model)
        return BuiltModel(init_head(model, backbone.head_init, start), "random initialization", "nothing loaded", head)
    if found.tensors is None:
        model = _create(backbone.name, image_size, **kwargs)
        head = head_parameters(model)
        loaded, own_head = load_archive(model, head, found)
    else:
        tensors, outputs = _prepare_tensors(backbone.name, found.tensors, found)
        own_head = outputs == classes
        # timm drops the head if its number of classes differs from the model's.
        overlay = {"state_dict": dict(tensors), "num_classes": outputs}
        with recorded() as seen:
            model = _create(backbone.name, image_size, found, pretrained=True, pretrained_cfg_overlay=overlay, **kwargs)
        head = head_parameters(model)
        # Only a load into the whole model counts; a load into a part of it says nothing about the rest.
        loaded = next((loaded for module, loaded in reversed(seen) if module is model), None)
        if loaded is None:
            loaded = compare_tensors(model, tensors, () if own_head else classifier_names(backbone.name))
        # The tensors of the file must not stay in the model's configuration, nor get into an exported model.
        getattr(model, "pretrained_cfg", {}).pop("state_dict", None)
    summary = check_loaded(model, head, loaded, found.source, own_head=own_head)
    if not own_head:
        init_head(model, backbone.head_init, start)
    return BuiltModel(model, found.source, summary, head)


def _size_kwargs(name: str, image_size: int, grows: bool) -> dict[str, Any]:
    """Return the arguments that let an architecture of fixed input size accept another size."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if config is None or not config.fixed_input_size:
        return {}
    if grows:
        return {"img_size": image_size, "dynamic_img_size": True}
    return {"img_size": image_size}


def _create(name: str, image_size: int, found: Found | None = None, **kwargs: Any) -> nn.Module:
    """Create a timm model by its name, and shorten errors to one line.

    Raises:
        ZooError: the backbone does not accept the image size, the drop rates or the weights.
    """
    try:
        return timm.create_model(name, **kwargs)
    except (LookupError, AttributeError) as error:
        if found is None:
            raise
        # A KeyError: timm's filter for this architecture looks for a tensor that the file lacks.
        lacks = f"no tensor {error}" if isinstance(error, KeyError) else first_line(error)
        raise ZooError(WHERE, f"{found.source} does not fit {name}: {lacks}", "check backbone.name") from None
    except (TypeError, AssertionError, ValueError, ZeroDivisionError) as error:
        if refuses_dynamic_size(error):
            what = f"{name} cannot change its image size while training"
            raise ZooError("image_size", what, f"write image_size: {image_size}") from None
        if "img_size" in kwargs or isinstance(error, AssertionError | ZeroDivisionError):
            reason = "nothing is left of the image" if isinstance(error, ZeroDivisionError) else error
            what = f"{name} does not take {image_size} px: {reason}"
            raise ZooError("image_size", what, "use its own size, or a multiple of its stride") from None
        raise ZooError("backbone", f"{name} cannot be created: {error}", "check drop_rate and drop_path_rate") from None
    except RuntimeError as error:
        raise _misfit(name, image_size, found, error) from None


def _misfit(name: str, image_size: int, found: Found | None, error: RuntimeError) -> ZooError:
    """Return the error for weights that torch or timm refused to load."""
    source = found.source if found else name
    shapes = mismatched_tensors(error)
    config = timm.get_pretrained_cfg(name) if found and found.own else None
    native = config.input_size[-1] if config else image_size
    if shapes and native != image_size:
        what = f"{name} does not take {image_size} px: {len(shapes)} tensors of its weights are for {native} px"
        return ZooError("image_size", f"{what}, first {shapes[0]}", f"write image_size: {native}")
    if shapes:
        what = f"{source} does not fit {name}: {len(shapes)} shapes differ, first {shapes[0]}"
        return ZooError(WHERE, what, "check backbone.name")
    return ZooError(WHERE, f"{source} does not fit {name}: {first_line(error)}", "check backbone.name")


# The two functions below parse error messages of other libraries. Their tests provoke these messages.


def refuses_dynamic_size(error: Exception) -> bool:
    """Return whether an architecture refused `dynamic_img_size`: Python's error names the argument."""
    return "dynamic_img_size" in str(error)


def mismatched_tensors(error: RuntimeError) -> list[str]:
    """Return the names of the tensors that torch's `load_state_dict` refused because of their shape."""
    return re.findall(r"size mismatch for ([\w.]+)", str(error))


def _prepare_tensors(name: str, found_tensors: Tensors, found: Found) -> tuple[Tensors, int]:
    """Return the tensors for timm to load under its own names, and the number of classes of their head (-1: no head).

    Raises:
        ZooError: no tensor has a name that the architecture knows, or the tensors do not fit the architecture by their order.
    """
    # Built without allocating memory, for its names and shapes only.
    with torch.device("meta"):
        reference = timm.create_model(name)
    names = reference.state_dict()
    tensors = timm.models.clean_state_dict(found_tensors)
    if found.by_order:
        tensors = _renamed(tensors, reference, found, name)
    weight = next((tensors[key] for head in classifier_names(name)[:1] if (key := f"{head}.weight") in tensors), None)
    # timm treats an empty state dict as if none were given, and would ask the hub.
    if not tensors or (not any(key in names for key in tensors) and not _filtered(name)):
        what = f"{found.source} matches 0 of {len(names)} tensors of {name}"
        raise ZooError(WHERE, what, f"rename its keys, e.g. {next(iter(names))}")
    return tensors, len(weight) if weight is not None else -1


def _filtered(name: str) -> bool:
    """Return whether timm has a checkpoint filter for this architecture, which may know other tensor names."""
    module = timm.models.model_entrypoint(name.partition(".")[0]).__module__
    return hasattr(importlib.import_module(module), "checkpoint_filter_fn")


def _renamed(tensors: Tensors, reference: nn.Module, found: Found, name: str) -> Tensors:
    """Rename another library's tensors to timm's names, by their order.

    Raises:
        ZooError: the number of tensors or a shape differs.
    """
    try:
        # timm's function stops silently at the end of the shorter of the two.
        assert len(tensors) == len(reference.state_dict())
        return timm.models.remap_state_dict(tensors, reference, allow_reshape=False)
    except AssertionError:
        what = f"{found.source} does not fit {name}: the number, order or shapes of the tensors differ"
        raise ZooError(WHERE, what, "check backbone.name") from None


def data_config(name: str) -> dict[str, Any]:
    """Return the preprocessing that a backbone's weights were trained with: `mean, std, interpolation, crop_pct`."""
    import timm.data

    config = timm.get_pretrained_cfg(name)
    return {
        key: value
        for key, value in timm.data.resolve_data_config(pretrained_cfg=config.to_dict() if config else {}).items()
        if key in ("mean", "std", "interpolation", "crop_pct")
    }
