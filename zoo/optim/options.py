"""The optimizer's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from zoo.models.names import check_optimizer
from zoo.section import Section

if TYPE_CHECKING:
    pass


class Optim(Section):
    """The optimizer."""

    name: str = Field(default="adamw", description="timm's name of the optimizer.")
    lr: float = Field(default=5e-4, gt=0, description="Peak learning rate, at the global batch size.")
    weight_decay: float = Field(default=0.05, ge=0, description="Weight decay; biases and norms have none.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum, or the first beta (0.9: the optimizer's own).")
    beta2: float | None = Field(default=None, gt=0, lt=1, examples=[0.99], description="Second beta; null: the optimizer's own.")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return check_optimizer(name)
