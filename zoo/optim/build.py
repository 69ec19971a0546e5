"""Build an optimizer by timm's name, with parameter groups for weight decay and learning rates."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.models.layers import layer_depths

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

from zoo.optim.options import Optim


def build_optimizer(
    optim: Optim,
    model: nn.Module,
    *,
    layer_decay: float = 1.0,
    head_lr_scale: float = 1.0,
    head: Iterable[str] = (),
    more: Iterable[dict[str, Any]] = (),
) -> Optimizer:
    """Create the optimizer of the parameters that are trained.

    Args:
        optim: the options of the optimizer.
        model: the model, with its frozen parameters marked.
        layer_decay: factor of the learning rate from one layer group to the one before it.
        head_lr_scale: factor of the head's learning rate.
        head: names of the head's parameters.
        more: groups of parameters that are not in the model, in the form that `parameter_groups` returns.

    Raises:
        ZooError: the optimizer does not accept its options, needs second derivatives, or needs a package that is missing.
    """
    import timm.optim
    import torch

    groups = [*parameter_groups(model, optim.weight_decay, layer_decay, head_lr_scale, set(head)), *more]
    # timm's default momentum is 0.9, for every optimizer that has one.
    extra: dict[str, Any] = {} if optim.momentum is None else {"momentum": optim.momentum}
    if optim.name in ("adam", "adamw", "nesterov", "sgd", "momentum"):
        # One kernel for all tensors; torch.optim has it for these optimizers, on CPU and CUDA.
        extra["fused"] = True
    if optim.name.startswith("kron"):
        # Its random numbers then come from its own state, and are the same on all processes.
        extra["deterministic"] = True
    try:
        optimizer = timm.optim.create_optimizer_v2(groups, opt=optim.name, lr=optim.lr, weight_decay=optim.weight_decay, **extra)
    except (TypeError, ValueError, AssertionError, ImportError, RuntimeError, NameError) as error:
        raise ZooError("optim.name", f"{optim.name} cannot be created: {error}", "use adamw or sgd") from None
    if getattr(optimizer, "is_second_order", False):
        raise ZooError("optim.name", f"{optim.name} cannot be created: it needs second derivatives", "use adamw or sgd")
    _set_betas(optim, optimizer)
    # The first step sets the learning rate; a tensor would be shared between groups.
    assert not any(isinstance(group["lr"], torch.Tensor) for group in optimizer.param_groups)
    return optimizer


def _set_betas(optim: Optim, optimizer: Optimizer) -> None:
    """Set the betas that a recipe gives; otherwise the optimizer keeps its defaults.

    Raises:
        ZooError: a second beta is given to an optimizer that has none.
    """
    own = optimizer.defaults.get("betas")
    if optim.beta2 is not None and own is None:
        raise ZooError("optim.beta2", f"{optim.name} has no second beta", "leave it out")
    if own is None:
        return
    first = own[0] if optim.momentum is None else optim.momentum
    second = own[1] if optim.beta2 is None else optim.beta2
    for group in optimizer.param_groups:
        group["betas"] = (first, second, *own[2:])


def parameter_groups(
    model: nn.Module, weight_decay: float, layer_decay: float, head_lr_scale: float, head: set[str]
) -> list[dict[str, Any]]:
    """Group the trained parameters by learning rate and weight decay.

    Biases, norms and the parameters in the model's `no_weight_decay` have no weight decay. With a layer decay d, the learning
    rates of the layer groups of timm's `group_matcher` are scaled by 1, d, d squared, … from the last group toward the stem
    (ELECTRA, Clark et al. 2020).

    Returns:
        Groups for an optimizer, each with the keys `params`, `lr_scale` and `weight_decay`.

    Raises:
        ZooError: a layer decay for an architecture that does not name its layers.
    """
    own: Any = getattr(model, "no_weight_decay", set)
    skip = own()
    depth = layer_depths(model) if layer_decay != 1 else {}
    deepest = max(depth.values(), default=0)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        scale = head_lr_scale if name in head else layer_decay ** (deepest - depth.get(name, deepest))
        decay = 0.0 if parameter.ndim <= 1 or any(fnmatchcase(name, pattern) for pattern in skip) else weight_decay
        group = groups.setdefault((scale, decay), {"params": [], "lr_scale": scale, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def set_lr(optimizer: Any, lr: float) -> None:
    """Set the learning rate of every group to `lr` times the group's `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
