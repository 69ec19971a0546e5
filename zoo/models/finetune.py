"""Choose the parts of a backbone that are trained, and whether BatchNorm trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from zoo.errors import ZooError
from zoo.models.layers import batch_norms, layer_depths
from zoo.section import Section

if TYPE_CHECKING:
    from torch import nn


class Finetune(Section):
    """The parts of the backbone that are trained, and their learning rates."""

    freeze: int | Literal["none", "backbone"] = Field(
        default="none",
        description="none: train everything; backbone: train the head only; N: keep the first N stages fixed (the stem is one).",
    )
    batch_norm: Literal["auto", "train", "frozen"] = Field(
        default="auto",
        description="frozen: use the pretrained statistics and keep them; better for short runs, and faster on a CPU. "
        "auto: frozen, but for random weights.",
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Factor of the learning rate from each layer to the one before it; 1: no decay.",
    )
    head_lr_scale: float = Field(default=10.0, gt=0, description="Factor of the head's learning rate.")
    probe_first: bool = Field(
        default=False, description="Start the head from a linear probe: a fit on features of the frozen backbone."
    )

    @field_validator("freeze")
    @classmethod
    def _stages(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 0:
            raise ValueError(f"must be >= 0, found {value} (or write none or backbone)")
        return value


def freeze(finetune: Finetune, model: nn.Module, head: tuple[str, ...]) -> list[nn.Module]:
    """Stop the gradients of the frozen parameters.

    Returns:
        The modules that must stay in evaluation mode: frozen BatchNorm (its statistics drift otherwise).

    Raises:
        ZooError: the backbone has fewer stages than are to be frozen.
    """
    if finetune.freeze == "backbone":
        frozen = {name for name, _ in model.named_parameters() if name not in head}
    elif isinstance(finetune.freeze, int):
        depths = layer_depths(model, coarse=True)
        stages = max(depths.values(), default=0)
        if not 0 <= finetune.freeze <= stages:
            raise ZooError("finetune.freeze", f"{finetune.freeze} of {stages} stages", f"use 0 to {stages}, or backbone")
        frozen = {name for name, depth in depths.items() if depth < finetune.freeze and name not in head}
    else:
        frozen = set()
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    return [module for name, module in batch_norms(model) if finetune.batch_norm == "frozen" or f"{name}.weight" in frozen]
