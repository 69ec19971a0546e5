"""Layers are found by kind and by depth, in every family of models."""

from __future__ import annotations

import pytest
import timm
from helpers.tensors import refused
from torch import nn

from zoo.models.layers import batch_norms, layer_depths


def test_batch_norms_are_found_by_name_and_other_norms_are_not() -> None:
    model = timm.create_model("test_resnet")
    found = dict(batch_norms(model))
    assert len(found) == sum(name.endswith("running_mean") for name in model.state_dict())
    assert all(model.get_submodule(name) is layer for name, layer in found.items())
    assert batch_norms(timm.create_model("test_vit")) == []
    assert batch_norms(timm.create_model("test_efficientnet_gn")) == []


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext"])
def test_depths_grow_from_the_stem_to_the_head(name: str) -> None:
    model = timm.create_model(name)
    fine, coarse = layer_depths(model), layer_depths(model, coarse=True)
    names = [name for name, _ in model.named_parameters()]
    assert fine.keys() == coarse.keys() == set(names)
    assert fine[names[0]] == coarse[names[0]] == 0
    head = next(name for name in names if name.startswith(("fc.", "head.fc.", "head.weight", "classifier.")))
    assert fine[head] == max(fine.values())
    assert max(coarse.values()) <= max(fine.values())


def test_a_model_that_does_not_name_its_layers_is_refused() -> None:
    assert refused(lambda: layer_depths(nn.Linear(2, 2))).startswith("finetune: Linear does not name its layers (use freeze: ")
