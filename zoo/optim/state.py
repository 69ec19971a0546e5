"""Pack an optimizer's state into tensors and plain values by parameter names, and unpack it.

torch numbers parameters by their position in the groups. Options such as weight decay decide which group a parameter is in,
so that a number could refer to another parameter after a change of options. A name always refers to the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.errors import ZooError

# Keys of a group that come from the recipe; all others are part of the optimizer's state (such as a step count).
OPTIONS = ("params", "lr", "lr_scale", "weight_decay", "betas", "momentum")


def pack_state(optimizer: Optimizer, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimizer's state without its options.

    Returns:
        Tensors by name, and values that JSON can hold, in which `{"tensor": NAME}` refers to a tensor. The moments of a
        weight float [K, C, H, W] are `WEIGHT|exp_avg` and so on, of the same shape; its step count is a float [].

    Raises:
        ZooError: the state holds an object that is neither a tensor nor a plain value.
    """
    whole = optimizer.state_dict()
    names = _names(optimizer, model)
    tensors: dict[str, Tensor] = {}
    plain = {
        "state": {names[index]: _encoded(state, names[index], tensors) for index, state in whole["state"].items()},
        "groups": [
            _encoded({key: value for key, value in group.items() if key not in OPTIONS}, f"group {number}", tensors)
            for number, group in enumerate(whole["param_groups"])
        ],
        "more": {key: _encoded(value, key, tensors) for key, value in whole.items() if key not in ("state", "param_groups")},
    }
    return tensors, plain


def unpack_state(optimizer: Optimizer, model: nn.Module, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Load a state that `pack_state` returned; the parameters may be in other groups now.

    A moment gets the memory layout of its parameter, because fused kernels go through both in parallel.

    Args:
        optimizer: a new optimizer of the parameters of `model`.
        model: the model.
        tensors: the tensors by name, in any layout.
        plain: the plain values.
    """
    groups = optimizer.state_dict()["param_groups"]
    for number, group in enumerate(groups):
        group |= _decoded(plain["groups"][min(number, len(plain["groups"]) - 1)], tensors)
    state = {
        index: _decoded(plain["state"][name], tensors, model.get_parameter(name))
        for index, name in enumerate(_names(optimizer, model))
        if name in plain["state"]
    }
    more = {key: _decoded(value, tensors) for key, value in plain["more"].items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups, **more})


def _names(optimizer: Optimizer, model: nn.Module) -> list[str]:
    """Return the parameters' names in the optimizer's order."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [name_of[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def _encoded(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Convert a value to JSON's types, with each kind of container under its own key; put its tensors into `tensors`.

    Raises:
        ZooError: the value holds an object that is neither a tensor nor a plain value.
    """
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": {key: _encoded(part, f"{name}|{key}", tensors) for key, part in value.items()}}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encoded(part, f"{name}|{number}", tensors) for number, part in enumerate(value)]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ZooError(
        "optim.name", f"the optimizer keeps a {type(value).__name__}, which a checkpoint cannot store", "use another optimizer"
    )


def _decoded(value: Any, tensors: Mapping[str, Tensor], parameter: Tensor | None = None) -> Any:
    """Convert a result of `_encoded` back; tensors with the shape of the parameter get its memory layout."""
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tensor":
        found = tensors[held]  # a moment has the parameter's shape [K, C, H, W]; a step count is []
        if parameter is None or found.shape != parameter.shape:
            return found
        return torch.empty_like(parameter, dtype=found.dtype, requires_grad=False).copy_(found)
    if kind == "dtype":
        return getattr(torch, held)
    if kind == "dict":
        return {key: _decoded(part, tensors, parameter) for key, part in held.items()}
    parts = [_decoded(part, tensors, parameter) for part in held]
    return parts if kind == "list" else tuple(parts)
