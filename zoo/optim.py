"""Optimizers by timm's names, parameter groups, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from zoo.errors import ZooError
from zoo.names import check_optimizer
from zoo.section import Section, kind_or_mapping

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


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


class _Schedule(Section):
    warmup_epochs: float = Field(default=1.0, ge=0, description="Linear warm-up from near zero, in epochs (0.5 is half of one).")

    def lr_at(self, step: int, steps: int, steps_per_epoch: float) -> float:
        """The learning rate of a step (counted from 0) as a share of the peak."""
        warmup = min(round(self.warmup_epochs * steps_per_epoch), steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        # In the middle of the step, so that neither the first nor the last step is lost to a rate at the end point.
        return self.ratio((step - warmup + 0.5) / max(1, steps - warmup), (step + 0.5) / steps_per_epoch)

    def ratio(self, progress: float, epoch: float) -> float:
        """The share of the peak after warm-up, where `progress` goes from 0 to 1."""
        raise NotImplementedError


class _Decaying(_Schedule):
    final_lr_ratio: float = Field(default=0.01, ge=0, le=1, description="Last learning rate as a share of the peak.")


class Cosine(_Decaying):
    """Half a cosine from the peak to the final ratio (SGDR, Loshchilov and Hutter 2017, without restarts)."""

    kind: Literal["cosine"] = "cosine"

    def ratio(self, progress: float, epoch: float) -> float:
        """Falls slowly, then fast, then slowly."""
        return self.final_lr_ratio + (1 - self.final_lr_ratio) * (1 + math.cos(math.pi * progress)) / 2


class Linear(_Decaying):
    """A straight line from the peak to the final ratio."""

    kind: Literal["linear"] = "linear"

    def ratio(self, progress: float, epoch: float) -> float:
        """Falls evenly."""
        return self.final_lr_ratio + (1 - self.final_lr_ratio) * (1 - progress)


class OneCycle(_Decaying):
    """Up along a cosine, then down along one (Smith and Topin 2018, as in torch's OneCycleLR)."""

    kind: Literal["one_cycle"] = "one_cycle"
    warmup_epochs: float = Field(default=0.0, ge=0, description="Not needed: the cycle starts low.")
    peak_at: float = Field(default=0.3, gt=0, lt=1, description="Share of the steps at which the peak is reached.")
    start_lr_ratio: float = Field(default=0.04, ge=0, le=1, description="First learning rate as a share of the peak.")

    def ratio(self, progress: float, epoch: float) -> float:
        """Rises to the peak, then falls."""
        if progress < self.peak_at:
            low, phase = self.start_lr_ratio, 1 - progress / self.peak_at
        else:
            low, phase = self.final_lr_ratio, (progress - self.peak_at) / (1 - self.peak_at)
        return low + (1 - low) * (1 + math.cos(math.pi * phase)) / 2


class Step(_Schedule):
    """Multiplied by `gamma` every few epochs."""

    kind: Literal["step"] = "step"
    every_epochs: float = Field(default=3.0, gt=0, description="Epochs between two drops.")
    gamma: float = Field(default=0.1, gt=0, lt=1, description="Factor of each drop.")

    def ratio(self, progress: float, epoch: float) -> float:
        """Falls in steps."""
        return self.gamma ** int(epoch / self.every_epochs)


class Constant(_Schedule):
    """Always the peak, after warm-up."""

    kind: Literal["constant"] = "constant"

    def ratio(self, progress: float, epoch: float) -> float:
        """Does not fall."""
        return 1.0


Schedule = Annotated[
    Cosine | Linear | OneCycle | Step | Constant,
    Field(discriminator="kind"),
    kind_or_mapping("cosine", "linear", "one_cycle", "step", "constant", default="cosine"),
]


def build(
    optim: Optim, model: nn.Module, *, layer_decay: float = 1.0, head_lr_scale: float = 1.0, head: Iterable[str] = ()
) -> Optimizer:
    """Create the optimizer over the parameters that are trained.

    Args:
        optim: its options.
        model: the model, frozen as it is to be trained.
        layer_decay: factor of the learning rate from one layer group to the one before it.
        head_lr_scale: factor of the head's learning rate.
        head: names of the head's parameters.

    Raises:
        ZooError: the optimizer does not take what it is given, or needs a package that is missing.
    """
    import timm.optim
    import torch

    groups = parameter_groups(model, optim.weight_decay, layer_decay, head_lr_scale, set(head))
    extra: dict[str, Any] = {}
    if optim.name in ("adam", "adamw", "nesterov", "sgd", "momentum"):
        # One kernel over all tensors; torch.optim has it for these, on CPU and CUDA.
        extra["fused"] = True
    try:
        optimizer = timm.optim.create_optimizer_v2(
            groups, opt=optim.name, lr=optim.lr, weight_decay=optim.weight_decay, momentum=optim.momentum, **extra
        )
    except (TypeError, ValueError, AssertionError, ImportError, RuntimeError, NameError) as error:
        raise ZooError("optim.name", f"{optim.name} cannot be created: {error}", "use adamw or sgd") from None
    if getattr(optimizer, "is_second_order", False):
        raise ZooError("optim.name", f"{optim.name} cannot be created: it needs second derivatives", "use adamw or sgd")
    _set_betas(optim, optimizer)
    # The first step sets the learning rate; a tensor there would be shared between groups.
    assert not any(isinstance(group["lr"], torch.Tensor) for group in optimizer.param_groups)
    return optimizer


def _set_betas(optim: Optim, optimizer: Optimizer) -> None:
    """Give an optimizer the recipe's betas, where they are not the defaults: its own may be others."""
    own = optimizer.defaults.get("betas")
    if optim.beta2 is not None and own is None:
        raise ZooError("optim.beta2", f"{optim.name} has no second beta", "leave it out")
    if own is None:
        return
    first = own[0] if optim.momentum == Optim.model_fields["momentum"].default else optim.momentum
    second = own[1] if optim.beta2 is None else optim.beta2
    for group in optimizer.param_groups:
        group["betas"] = (first, second, *own[2:])


def parameter_groups(
    model: nn.Module, weight_decay: float, layer_decay: float, head_lr_scale: float, head: set[str]
) -> list[dict[str, Any]]:
    """Group the trained parameters by learning rate and weight decay, each group with its `lr_scale`.

    Biases, norms and what the model names itself have no weight decay. With a layer decay d the layer
    groups of timm's `group_matcher` learn with d, d squared, … towards the stem (ELECTRA, Clark et al. 2020).
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


def layer_depths(model: nn.Module, *, coarse: bool = False) -> dict[str, int]:
    """The layer group of each parameter, 0 for the stem, by timm's `group_matcher`.

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


def set_lr(optimizer: Any, lr: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
