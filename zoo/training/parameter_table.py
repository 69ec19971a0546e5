"""Print which parameters learn and how fast: a line for each part of the model, before the first epoch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from zoo.models.layers import is_update
from zoo.system.console import Console
from zoo.system.table import Column, align

# From this many parameters on, they are counted in millions.
MANY = 100_000


@dataclass
class Part:
    """Parameters of a model that share a line.

    Attributes:
        name: `backbone`, `lora` for low-rank updates of its layers, or `head`.
        learns: whether they are trained.
        count: number of parameters.
        scales: factors of the learning rate.
        decays: weight decays.
    """

    name: str
    learns: bool
    count: int = 0
    scales: set[float] = field(default_factory=set)
    decays: set[float] = field(default_factory=set)


def parts_of(model: nn.Module, head: Collection[str], groups: Iterable[Mapping[str, Any]]) -> list[Part]:
    """Divide the parameters of a model into parts: backbone, low-rank updates and head, each frozen or trained.

    Args:
        model: the bare model.
        head: names of the head's parameters.
        groups: parameter groups of the optimizer, with the keys `params`, `lr_scale` and `weight_decay`.

    Returns:
        The parts that have parameters, in this order; of each, the frozen part before the trained one.
    """
    facts = {id(parameter): group for group in groups for parameter in group["params"]}
    keys = [(name, learns) for name in ("backbone", "lora", "head") for learns in (False, True)]
    found = {key: Part(*key) for key in keys}
    for name, parameter in model.named_parameters():
        group = facts.get(id(parameter))
        part = found["head" if name in head else "lora" if is_update(name) else "backbone", group is not None]
        part.count += parameter.numel()
        if group is not None:
            part.scales.add(group["lr_scale"])
            part.decays.add(group["weight_decay"])
    return [part for part in found.values() if part.count]


def describe_parameters(parts: list[Part], lr: float, console: Console) -> None:
    """Print a line for each part: its parameters, whether it is frozen, its peak learning rate and weight decay.

    Args:
        parts: of the model.
        lr: the peak learning rate that the scales are factors of.
        console: where to print.
    """
    columns = [
        Column("", lambda part: part.name, left=True),
        Column("", lambda part: shown_count(part.count)),
        Column("", lambda part: _rate(part, lr), left=True),
        Column("", _decay, left=True),
    ]
    # The first line has the headings, which this table does not need.
    console.facts("parameters", align(parts, columns, gap="   ")[1:])


def shown_count(count: int) -> str:
    """Return a number of parameters as text: `3.37 M`, or `12,810`."""
    return f"{count / 1e6:.2f} M" if count >= MANY else f"{count:,}"


def _rate(part: Part, lr: float) -> str:
    if not part.learns:
        return "frozen"
    low, high = min(part.scales), max(part.scales)
    if low < high:
        return f"peak lr {lr * low:.3g} to {lr * high:.3g}, {len(part.scales)} rates by depth"
    return f"peak lr {lr * high:.3g}" + (f" ({high:g}x)" if high != 1 else "")


def _decay(part: Part) -> str:
    if not part.learns:
        return ""
    most = max(part.decays)
    if most == 0:
        return "no weight decay"
    return f"weight decay {most:g}" + (", 0 for biases and norms" if 0 in part.decays else "")
