"""Every optimizer that continues from its packed state equals one that never stopped."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
import timm.optim
import torch
from torch import nn

from zoo.errors import ZooError
from zoo.optim.build import build_optimizer, set_lr
from zoo.optim.options import Optim
from zoo.optim.state import pack_state, unpack_state


def build(name: str, weight_decay: float = 0.01) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    model.to(memory_format=torch.channels_last)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kron recommends another package
        return model, build_optimizer(Optim(name=name, lr=0.01, weight_decay=weight_decay), model)


def usable() -> list[str]:
    """Return one name of each optimizer that this machine can create, and one of its cautious variant."""
    found: dict[object, str] = {}
    for name in timm.optim.list_optimizers():
        try:
            _, optimizer = build(name)
        except ZooError:
            continue
        found.setdefault((type(optimizer), bool(optimizer.defaults.get("caution"))), name)
    return [*found.values()]


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, count: int) -> None:
    for number in range(first, first + count):
        images = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(number))
        torch.manual_seed(number)
        model(images).square().sum().backward()
        set_lr(optimizer, 0.01)
        optimizer.step()
        optimizer.zero_grad()


def packed(optimizer: torch.optim.Optimizer, model: nn.Module) -> tuple[dict[str, torch.Tensor], Any]:
    """Return the packed state as files give it back: tensors without their memory layout, and plain values through JSON."""
    tensors, plain = pack_state(optimizer, model)
    found = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    return found, json.loads(json.dumps(plain))


# kron takes as long as all others together.
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name == "kron" else name for name in usable()]


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_goes_on_as_if_never_stopped(name: str) -> None:
    model, optimizer = build(name)
    steps(model, optimizer, 0, 4)
    other_model, other = build(name)
    other_model.load_state_dict(model.state_dict())
    unpack_state(other, other_model, *packed(optimizer, model))
    for each, its in ((model, optimizer), (other_model, other)):
        steps(each, its, 4, 3)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, other_model.state_dict()[key]), key


def test_parameters_keep_their_own_moments_when_groups_change() -> None:
    model, optimizer = build("adamw")
    steps(model, optimizer, 0, 2)
    other_model, other = build("adamw", weight_decay=0)
    assert len(other.param_groups) < len(optimizer.param_groups)
    unpack_state(other, other_model, *packed(optimizer, model))
    for name, parameter in model.named_parameters():
        its = other.state[other_model.get_parameter(name)]
        assert torch.equal(its["exp_avg"], optimizer.state[parameter]["exp_avg"]), name
    assert {group["weight_decay"] for group in other.param_groups} == {0}


def test_what_a_checkpoint_cannot_hold_is_refused() -> None:
    model, optimizer = build("sgd")
    optimizer.state[model[0].weight]["odd"] = torch.Generator()
    with pytest.raises(ZooError, match=r"^optim.name: the optimizer keeps a Generator, which a checkpoint cannot store"):
        pack_state(optimizer, model)
