"""Which part of a backbone learns, and what its BatchNorm does meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from zoo.errors import ZooError
from zoo.models.layers import batch_norms, layer_depths
from zoo.section import Section

if TYPE_CHECKING:
    from torch import nn


class Finetune(Section):
    """How much of the backbone is trained, and how fast."""

    freeze: int | Literal["none", "backbone"] = Field(
        default="none",
        description="none: all is trained; backbone: the head only; N: all but the first N stages (the stem is one).",
    )
    batch_norm: Literal["train", "frozen"] = Field(
        default="train",
        description="frozen: the pretrained statistics are used and kept; better for short runs; folded into the convolutions.",
    )
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="Factor of the learning rate from one layer to the one before."
    )
    head_lr_scale: float = Field(default=1.0, gt=0, description="Factor of the head's learning rate.")
    probe_first: bool = Field(default=False, description="Start the head from a fit on the frozen backbone's features.")

    @field_validator("freeze")
    @classmethod
    def _stages(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 0:
            raise ValueError(f"must be >= 0, found {value} (or write none or backbone)")
        return value


def freeze(finetune: Finetune, model: nn.Module, head: tuple[str, ...]) -> list[nn.Module]:
    """Take the frozen parameters out of training.

    Returns:
        The modules that must stay in evaluation mode: frozen BatchNorm (its statistics drift otherwise).

    Raises:
        ZooError: more stages are to be frozen than there are.
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
