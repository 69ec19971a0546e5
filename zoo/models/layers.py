"""Find the layers of a backbone by kind and by depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.errors import ZooError

if TYPE_CHECKING:
    from torch import nn


def batch_norms(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return every BatchNorm layer with its name."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return [(name, module) for name, module in model.named_modules() if isinstance(module, _BatchNorm)]


def is_update(name: str) -> bool:
    """Return whether a parameter belongs to a low-rank update, by the names that peft gives to the two matrices."""
    return ".lora_A." in name or ".lora_B." in name


def layer_depths(model: nn.Module, *, coarse: bool = False) -> dict[str, int]:
    """Return the layer group of each parameter by name, as timm's `group_matcher` defines it; the stem is group 0.

    Args:
        model: the backbone.
        coarse: group by whole stages instead of by blocks.

    Raises:
        ZooError: the architecture has no `group_matcher`.
    """
    from timm.models import group_parameters

    matcher = getattr(model, "group_matcher", None)
    if not callable(matcher):
        raise ZooError(
            "finetune", f"{type(model).__name__} does not name its layers", "use freeze: none|backbone and layer_decay: 1"
        )
    return group_parameters(model, matcher(coarse=coarse), reverse=True)
