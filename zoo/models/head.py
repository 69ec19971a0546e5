"""Find the head of a backbone (its classifiers and their parameters), and initialize a new one."""

from __future__ import annotations

from collections.abc import Sequence

import timm
import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.models.sizes import example_images

# Largest relative difference between half the logits and the logits of halved output layers; halving itself is exact.
HALF_TOLERANCE = 1e-4


def classifier_names(name: str) -> tuple[str, ...]:
    """Return the names of a backbone's classifier modules from timm's configuration."""
    return _as_names(getattr(timm.get_pretrained_cfg(name), "classifier", None))


def _as_names(classifier: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the value of `classifier` in one of timm's configurations as a tuple."""
    return (classifier,) if isinstance(classifier, str) else tuple(classifier or ())


def head_parameters(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the last layer's parameters (of all last layers, if there are several).

    Raises:
        ZooError: the architecture has no classifier.
    """
    own = {id(parameter) for head in classifiers(model) for parameter in head.parameters()}
    names = tuple(name for name, parameter in model.named_parameters() if id(parameter) in own)
    if not names:
        what = f"{type(model).__name__} has no last layer to train"
        raise ZooError("backbone.name", what, "choose a backbone with a classifier")
    return names


def classifiers(model: nn.Module) -> list[nn.Module]:
    """Return timm's classifiers: one or two modules, each of one layer or of several (a norm, a hidden layer)."""
    classifier = getattr(model, "get_classifier", None)
    heads = classifier() if callable(classifier) else None
    found = [head for head in (heads if isinstance(heads, tuple | list) else (heads,)) if isinstance(head, nn.Module)]
    names = _as_names(dict(getattr(model, "pretrained_cfg", None) or {}).get("classifier"))
    modules = dict(model.named_modules())
    for head in [modules[name] for name in names if name in modules]:
        # VOLO has a second classifier that `get_classifier` leaves out. In other models, the names lead to the same layers.
        if found and set(head.parameters()).isdisjoint({parameter for other in found for parameter in other.parameters()}):
            found.append(head)
    return found


def output_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers of the classifiers that output logits: linear or convolutional, with one output per class."""
    layers = [module for head in classifiers(model) for module in head.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return [layer for layer in layers if len(layer.weight) == model.num_classes]


@torch.no_grad()
def init_head(model: nn.Module, init: str, start: float = 0.0) -> nn.Module:
    """Initialize the layers that output logits, in place.

    A norm or hidden layer before them keeps timm's values: if it were zero too, nothing would learn.

    Args:
        model: the backbone with its head.
        init: `default` (timm's), `xavier` or `zero`.
        start: value added to each bias.
    """
    for layer in output_layers(model) if init != "default" else ():
        for parameter in layer.parameters():
            if init == "xavier" and parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                parameter.zero_()
    raise_logits(model, start)
    return model


@torch.no_grad()
def raise_logits(model: nn.Module, by: float) -> None:
    """Add a number to the bias of every class, in place, if there are biases.

    VOLO adds half of the largest logit of its second head, so the sum is 1.5 times as large there.
    """
    for layer in output_layers(model) if by else ():
        if isinstance(layer.bias, Tensor):
            layer.bias.add_(by)


@torch.no_grad()
def divide_logits(model: nn.Module, divisor: float) -> None:
    """Divide a model's logits by a number: divide the weights and biases of its output layers in place.

    Args:
        model: a model that passes `check_division`.
        divisor: above 0.
    """
    for layer in output_layers(model):
        for parameter in layer.parameters():
            parameter.div_(divisor)


@torch.no_grad()
def check_division(name: str, model: nn.Module, side: int) -> None:
    """Check that `divide_logits` works for an architecture; the weights are bit-identical afterwards.

    Args:
        name: the backbone's name, for the error.
        model: on the CPU; left in evaluation mode.
        side: image size in pixels.

    Raises:
        ZooError: the logits do not come from linear layers alone, e.g. if a hidden layer has an output per class.
    """
    generator = torch.Generator().manual_seed(0)
    images = example_images(side)
    kept = [(parameter, parameter.clone()) for layer in output_layers(model) for parameter in layer.parameters()]
    try:
        for parameter, _ in kept:
            # A new head may be all zeros, and then so is half of it.
            parameter.normal_(generator=generator)
        whole = model.eval()(images)
        divide_logits(model, 2)
        half = model(images)
    finally:
        for parameter, values in kept:
            parameter.copy_(values)
    if not kept or not torch.allclose(2 * half, whole, rtol=HALF_TOLERANCE, atol=HALF_TOLERANCE * float(whole.abs().max())):
        what = f"fit divides the last layer, but {name} does not end in linear layers only"
        raise ZooError("eval.temperature", what, "use none, or another backbone")
