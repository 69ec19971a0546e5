"""Choose the parts of a backbone that are trained, and whether BatchNorm trains."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from zoo.errors import ZooError
from zoo.models.layers import batch_norms, is_update, layer_depths
from zoo.section import AUTO, Section, Shorthand

if TYPE_CHECKING:
    from torch import nn


# The frozen part: the first N stages, nothing, or the whole backbone.
Frozen = int | Literal["none", "backbone"]


def _not_negative(value: Frozen) -> Frozen:
    if isinstance(value, int) and value < 0:
        raise ValueError(f"must be >= 0, found {value} (or write none or backbone)")
    return value


class Stage(Section):
    """A stage of a run; each stage trains different layers."""

    freeze: Frozen = Field(default="none", examples=["backbone"], description="What is frozen, as in `finetune.freeze`.")
    epochs: int | None = Field(
        default=None, ge=1, examples=[1], description="Epochs of this stage; the last one takes the rest of `train.epochs`."
    )
    share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        examples=[0.2],
        description="Instead of `epochs`: share of the run's steps (with `train.max_minutes`, about that share of the time).",
    )
    lr: float | None = Field(
        default=None, gt=0, examples=[0.001], description="Peak learning rate of this stage; null: `optim.lr`."
    )

    _frozen = field_validator("freeze")(_not_negative)


class Lora(Section):
    """Low-rank updates of layers, in place of training their weights (LoRA, Hu et al. 2021)."""

    rank: int = Field(default=8, ge=1, le=4096, description="Rank of the update of each layer.")
    alpha: float = Field(default=16.0, gt=0, description="The update is multiplied by alpha / rank.")
    targets: Literal["auto"] | tuple[str, ...] = Field(
        default="auto",
        examples=[["qkv", "proj"]],
        description="The layers: names, ends of names, or patterns with * and ?. auto: the linear layers of attention; without "
        "attention, all linear layers and 1x1 convolutions.",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before each update, in training.")

    @field_validator("targets", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if value == "auto":
            return value
        if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) and name for name in value):
            raise ValueError(f"expected auto or a list of names, found {value!r} (e.g. [qkv, proj])")
        return tuple(value)

    def check(self) -> None:
        """Check that peft is installed.

        Raises:
            ZooError: peft is not installed.
        """
        if importlib.util.find_spec("peft") is None:
            raise ZooError("finetune.lora", "peft is not installed", "pip install 'zoo-trainer[lora]'")


def lora_mapping(value: Any) -> Any:
    """Expand a rank into `{rank: value}`; return anything else unchanged."""
    return {"rank": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Finetune(Section):
    """The parts of the backbone that are trained, and their learning rates."""

    freeze: Frozen = Field(
        default="none",
        description="none: train everything; backbone: train the head only; N: keep the first N stages fixed (the stem is one).",
    )
    stages: Annotated[
        Annotated[tuple[Stage, ...], Tag("list")] | Annotated[Literal["none", "gradual"], Tag("word")],
        # A mistake in a stage is then not also reported as an unknown word.
        Discriminator(lambda value: "word" if isinstance(value, str) else "list"),
    ] = Field(
        default="none",
        examples=["gradual"],
        description="Train in stages, each with another part of the backbone frozen; the schedule runs once in each. gradual: "
        "the head, then the last layers too, then those before them, then everything, for 20, 20, 20 and 40 % of the steps.",
    )
    batch_norm: Literal["auto", "train", "frozen"] = Field(
        default="auto",
        description="frozen: use the pretrained statistics and keep them; better for short runs, and faster on a CPU. "
        "auto: frozen, except with random weights and without `lora`.",
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
    cache_features: bool | Literal["auto"] = Field(
        default=AUTO,
        description="With `freeze: backbone`, compute the features of each image once, keep them in the cache, and train the "
        "head on them. auto: where training images are not varied, so that the result stays the same; true: refuse "
        "options that vary images, or choose those that are `auto` so that they do not.",
    )
    lora: Annotated[Lora | None, Shorthand(lora_mapping, {"type": "integer", "minimum": 1}, "a rank or a mapping")] = Field(
        default=None,
        examples=[8],
        description="Keep the backbone fixed and train low-rank updates of some of its layers; a rank, or a mapping. null: none.",
    )

    _frozen = field_validator("freeze")(_not_negative)

    @field_validator("stages", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in ("none", "gradual"):
            raise ValueError(f"unknown {value!r} (known: none, gradual, a list of stages)")
        if not isinstance(value, str | list | tuple) or not value:
            raise ValueError("expected none, gradual or a list of stages (e.g. [{freeze: backbone, epochs: 1}, {freeze: none}])")
        return value if isinstance(value, str) else tuple(value)


def freeze(finetune: Finetune, model: nn.Module, head: tuple[str, ...]) -> list[nn.Module]:
    """Turn off gradients for parameters that are frozen throughout a run; with LoRA, for all of the backbone except the updates.

    Returns:
        The modules that must stay in evaluation mode: frozen BatchNorm (its statistics drift otherwise).

    Raises:
        ZooError: the backbone has fewer stages than are to be frozen.
    """
    if finetune.lora is not None:
        frozen = {name for name, _ in model.named_parameters() if name not in head and not is_update(name)}
    else:
        where = "finetune.freeze" if finetune.stages == "none" else "finetune.stages"
        parts = frozen_parts(finetune, model, head)
        frozen = set.intersection(*(frozen_parameters(part, model, head, where) for part in parts))
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    return fixed_norms(finetune, model, frozen)


def frozen_parts(finetune: Finetune, model: nn.Module, head: tuple[str, ...]) -> list[Frozen]:
    """Return the frozen part for each stage of a run; a run without stages has one part."""
    if finetune.stages == "none":
        return [finetune.freeze]
    if finetune.stages != "gradual":
        return [stage.freeze for stage in finetune.stages]
    depths = {depth for name, depth in layer_depths(model, coarse=True).items() if name not in head}
    last, before = (sorted(depths, reverse=True) * 2)[:2]
    return ["backbone", last, before, "none"]


def frozen_parameters(part: Frozen, model: nn.Module, head: tuple[str, ...], where: str = "finetune.stages") -> set[str]:
    """Return the names of the parameters of a frozen part.

    Args:
        part: the frozen part.
        model: the backbone with its head.
        head: names of the head's parameters.
        where: the key that an error names.

    Raises:
        ZooError: the backbone has fewer stages than `part`.
    """
    if part == "none":
        return set()
    if part == "backbone":
        return {name for name, _ in model.named_parameters() if name not in head}
    depths = layer_depths(model, coarse=True)
    stages = max(depths.values(), default=0)
    if not 0 <= part <= stages:
        raise ZooError(where, f"{part}, but the backbone has {stages} stages", f"use 0 to {stages}, or backbone")
    return {name for name, depth in depths.items() if depth < part and name not in head}


def fixed_norms(finetune: Finetune, model: nn.Module, frozen: set[str]) -> list[nn.Module]:
    """Return the BatchNorm layers that stay in evaluation mode: all with `batch_norm: frozen`, else those with frozen weights."""
    return [module for name, module in batch_norms(model) if finetune.batch_norm == "frozen" or f"{name}.weight" in frozen]
