"""Costs equal those counted by hand for single layers, and those of the catalog for whole networks on the meta device."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from zoo.models import catalog
from zoo.models.flops import count_costs


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds", "activations"),
    [
        (nn.Conv2d(3, 8, 3, bias=False), (1, 3, 10, 10), 8 * 8 * 8 * 3 * 9, 8 * 8 * 8),
        (nn.Conv2d(8, 8, 3, groups=8, bias=False), (1, 8, 10, 10), 8 * 8 * 8 * 9, 8 * 8 * 8),
        (nn.Linear(5, 7, bias=False), (1, 5), 35, 7),
        (nn.BatchNorm2d(4), (1, 4, 6, 6), 2 * 4 * 36, 0),
        (nn.LayerNorm(6), (1, 6), 5 * 6, 0),
    ],
)
def test_a_layer_costs_what_is_counted_by_hand(
    layer: nn.Module, shape: tuple[int, ...], multiply_adds: int, activations: int
) -> None:
    gmacs, macts = count_costs(layer.eval(), torch.zeros(shape))
    assert gmacs == pytest.approx(multiply_adds / 1e9)
    assert macts == pytest.approx(activations / 1e6)


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_vit.r160_in1k"])
def test_a_network_on_the_meta_device_costs_what_the_catalog_says(name: str) -> None:
    known = catalog.named(name)
    assert known is not None
    with torch.device("meta"):
        model = timm.create_model(name).eval().requires_grad_(False)
        gmacs, macts = count_costs(model, torch.empty(1, 3, 160, 160))
    assert gmacs == pytest.approx(known.gmacs, abs=0.0051)
    assert macts == pytest.approx(known.macts, abs=0.0051)
