"""The options of the optimizer."""

from __future__ import annotations

from pydantic import Field, field_validator

from zoo.models.names import check_optimizer
from zoo.section import Section


class Optim(Section):
    """The optimizer and its hyperparameters."""

    name: str = Field(default="adamw", description="timm's name of the optimizer.")
    lr: float = Field(default=3e-4, gt=0, description="Peak learning rate, at the global batch size.")
    weight_decay: float = Field(default=0.05, ge=0, description="Weight decay; biases and norms have none.")
    momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        examples=[0.9],
        description="Momentum, or the first beta; null: the optimizer's own, 0.9 for most (sgd too).",
    )
    beta2: float | None = Field(default=None, gt=0, lt=1, examples=[0.99], description="Second beta; null: the optimizer's own.")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return check_optimizer(name)
