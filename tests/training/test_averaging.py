"""The average of the weights equals timm's, and can skip a step."""

from __future__ import annotations

import torch
from helpers.tensors import same_tensors
from timm.utils import ModelEmaV3
from torch import nn

from zoo.training.averaging import WeightAverage


def moved(model: nn.Module, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(torch.randn(value.shape, generator=generator) if value.is_floating_point() else 1)


def test_it_is_timm_s_average_with_its_warm_up() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    ours, theirs = WeightAverage(model, 0.99), ModelEmaV3(model, decay=0.99, use_warmup=True)
    for step in range(5):
        moved(model, step)
        ours.follow(model, step)
        theirs.update(model, step=step)
    for name, value in theirs.module.state_dict().items():
        torch.testing.assert_close(ours.module.state_dict()[name], value)
    assert ours.module.state_dict()["1.num_batches_tracked"] == 5


def test_a_layer_with_two_names_moves_once() -> None:
    layer = nn.Linear(3, 3)
    alone, twice = WeightAverage(layer, 0.9), WeightAverage(nn.Sequential(layer, layer), 0.9)
    moved(layer, 1)
    alone.follow(layer, 0)
    twice.follow(nn.Sequential(layer, layer), 0)
    assert same_tensors(alone.module.state_dict(), twice.module[0].state_dict())


def test_shut_it_stays_as_it_is_and_open_it_has_the_same_bits() -> None:
    model = nn.Linear(3, 3)
    plain, gated = WeightAverage(model, 0.9), WeightAverage(model, 0.9)
    for step in range(4):
        moved(model, step)
        plain.follow(model, step)
        gated.follow(model, step, torch.ones(()))
    assert same_tensors(plain.module.state_dict(), gated.module.state_dict())
    moved(model, 9)
    gated.follow(model, 4, torch.zeros(()))
    assert same_tensors(plain.module.state_dict(), gated.module.state_dict())
