"""Add low-rank updates to layers of a frozen backbone, and merge them into its weights (LoRA, Hu et al. 2021, arXiv:2106.09685).

peft's layers wrap a layer with the weights W and add B A x * alpha / rank to its output; A is random and B zero at the start. The
model stays a timm model, and has only timm's own layers again after merging. peft, which needs transformers, is imported only
if LoRA is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from zoo.errors import ZooError, nearest
from zoo.models.fast_conv import replaceable
from zoo.models.finetune import Lora
from zoo.models.head import classifiers

TARGETS = "finetune.lora.targets"
# Names of the linear layers of attention in timm.
PROJECTIONS = {"qkv", "q", "k", "v", "kv", "q_proj", "k_proj", "v_proj", "kv_proj", "qkv_proj", "proj", "out_proj"}


def add_lora(lora: Lora, model: nn.Module, example: Tensor, seed: int) -> list[str]:
    """Add a low-rank update to each of the chosen layers, in place. The outputs of the model stay the same.

    Args:
        lora: the options.
        model: on the CPU, before anything else has changed its layers.
        example: float32 [B, 3, H, W]; a forward pass with it shows which layers are called.
        seed: seed of the random matrices A.

    Returns:
        The names of the layers.

    Raises:
        ZooError: peft is missing, or a pattern names no layer, or a layer that updates cannot be merged into.
    """
    lora.check()
    from peft import LoraConfig, inject_adapter_in_model

    names = chosen_layers(lora, model, example)
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    # peft matches a string as a regular expression against whole names, but a list against the ends of names.
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules="|".join(map(re.escape, names)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    del model.peft_config
    for parameter, flag in flags:
        parameter.requires_grad_(flag)
    assert len(list(updated_layers(model))) == len(names)
    return names


def chosen_layers(lora: Lora, model: nn.Module, example: Tensor) -> list[str]:
    """Return the names of the layers that get an update, in the order of the model.

    Raises:
        ZooError: a pattern names no layer, or a layer that updates cannot be merged into; or `auto` finds no layer.
    """
    head = {id(module) for classifier in classifiers(model) for module in classifier.modules()}
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | _ConvNd) and id(module) not in head
    }
    problems = _problems(model, layers, example)
    if lora.targets == "auto":
        return _automatic(model, {name: layer for name, layer in layers.items() if name not in problems})
    found = {pattern: [name for name in layers if _fits(name, pattern)] for pattern in lora.targets}
    for pattern, names in found.items():
        if not names:
            raise _unknown(pattern, layers)
        bad = [name for name in names if name in problems]
        if bad:
            what = f"{pattern} matches {bad[0]}, {problems[bad[0]]}"
            raise ZooError(TARGETS, what, "name other layers, or use auto")
    wanted = {name for names in found.values() for name in names}
    return [name for name in layers if name in wanted]


def _fits(name: str, pattern: str) -> bool:
    """Return whether a pattern names a layer: its whole name, the end of it, or wildcards * and ?."""
    return name == pattern or name.endswith(f".{pattern}") or fnmatchcase(name, pattern)


def _unknown(pattern: str, layers: dict[str, Any]) -> ZooError:
    """Return the error for a pattern that names no layer, with the nearest names, or else some existing ones."""
    ends = list(dict.fromkeys(end for name in layers for end in _ends(name)))
    known = nearest(pattern, ends) or list(dict.fromkeys(name.rpartition(".")[2] for name in layers))[:8]
    return ZooError(TARGETS, f"{pattern} matches no linear layer or convolution of the backbone", f"e.g. {', '.join(known)}")


def _ends(name: str) -> list[str]:
    """Return all endings of a layer's dotted name, such as `qkv` and `attn.qkv`, shortest first."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]


def _automatic(model: nn.Module, layers: dict[str, Any]) -> list[str]:
    """Return the linear layers of attention; without attention, all linear layers and 1x1 convolutions."""
    attention = [name for name, layer in layers.items() if isinstance(layer, nn.Linear) and _of_attention(name)]
    pointwise = [name for name, layer in layers.items() if isinstance(layer, nn.Linear) or layer.kernel_size == (1, 1)]
    if not attention and not pointwise:
        what = f"{type(model).__name__} has no linear layer and no 1x1 convolution that auto could choose"
        raise ZooError(TARGETS, what, "list names of convolutions, or use finetune.freeze")
    return attention or pointwise


def _of_attention(name: str) -> bool:
    parts = name.split(".")
    return bool(PROJECTIONS & set(parts)) and any("attn" in part or "attention" in part for part in parts)


def _problems(model: nn.Module, layers: dict[str, Any], example: Tensor) -> dict[str, str]:
    """Return the names of the layers that an update cannot be merged into, each with the reason."""
    called = _called(model, layers, example)
    reasons = {name: _problem(layer, name in called) for name, layer in layers.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _problem(layer: nn.Module, called: bool) -> str:
    """Return the reason why an update cannot be merged into a layer; '' if it can."""
    if isinstance(layer, _ConvNd) and layer.groups > 1:
        return "a grouped or depthwise convolution, which peft cannot merge updates into"
    if isinstance(layer, _ConvNd) and max(layer.dilation) > 1:
        return "a dilated convolution, which peft does not support"
    if not (type(layer) is nn.Linear or replaceable(layer)):
        # For example weight standardization: standardizing a sum of weights is not the sum of the standardized weights.
        return f"a {type(layer).__name__}, which may transform its weights"
    if not called:
        return "whose weights the backbone uses without calling the layer"
    return ""


@torch.no_grad()
def _called(model: nn.Module, layers: dict[str, Any], example: Tensor) -> set[str]:
    """Return the names of the layers that a forward pass calls; the updates of other layers would not be used."""
    seen: set[str] = set()
    handles = [
        layer.register_forward_hook(lambda _layer, _inputs, _output, name=name: seen.add(name)) for name, layer in layers.items()
    ]
    was_training = model.training
    try:
        model.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    return seen


def updated_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield each peft layer with its name: `base_layer` is timm's layer, `lora_A` and `lora_B` are the update."""
    for name, module in model.named_modules():
        if hasattr(module, "base_layer") and hasattr(module, "lora_B"):
            yield name, module


@torch.no_grad()
def merge_lora(model: nn.Module) -> int:
    """Add the updates to the weights of their layers and remove peft's layers, in place.

    Args:
        model: with or without updates. Afterwards it has timm's own layers and names, and its outputs differ only by rounding.

    Returns:
        The number of layers that had an update.
    """
    found = list(updated_layers(model))
    for name, layer in found:
        layer.merge()
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer.get_base_layer())
    return len(found)
