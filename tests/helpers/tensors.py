"""Make, save and compare tensors of weights, and build models from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.models.build import BuiltModel, build_model
from zoo.models.options import Backbone, FileWeights

NAME = "test_resnet"
Tensors = dict[str, Tensor]


def fresh(name: str = NAME, classes: int = 1000, **kwargs: Any) -> Tensors:
    return {key: tensor.clone() for key, tensor in timm.create_model(name, num_classes=classes, **kwargs).state_dict().items()}


def built(path: Path, name: str = NAME, classes: int = 10, size: int = 32, **options: Any) -> BuiltModel:
    chosen = Backbone(name=name, weights=FileWeights(path=path), **options)
    return build_model(chosen, chosen.weights.find(name), classes, size)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ZooError) as error:
        call()
    (line,) = error.value.lines
    return line


def saved(tensors: object, path: Path) -> Path:
    torch.save(tensors, path)
    return path


def same(model: nn.Module, tensors: Tensors, leave_out: tuple[str, ...] = ()) -> bool:
    state = model.state_dict()
    return all(torch.equal(state[name], tensor) for name, tensor in tensors.items() if name not in leave_out)


def same_tensors(first: Tensors, second: Tensors) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())
