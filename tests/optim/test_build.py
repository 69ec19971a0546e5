"""Parameter groups, and every optimizer of timm with the options of a recipe."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from zoo.errors import ZooError
from zoo.models import names
from zoo.optim import build
from zoo.optim.build import build_optimizer
from zoo.optim.options import Optim

# ----------------------------------------------------------------------------------------- groups

RESNET, VIT = ("test_resnet", ("fc.weight", "fc.bias")), ("test_vit", ("head.weight", "head.bias"))


def groups(
    model: nn.Module, decay: float = 0.1, layer_decay: float = 1.0, head_scale: float = 1.0, head: Any = ()
) -> dict[str, tuple[float, float]]:
    """Return the factor of the learning rate and the weight decay of each parameter, by name."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    made = build.parameter_groups(model, decay, layer_decay, head_scale, set(head))
    found = [
        (name_of[id(parameter)], (group["lr_scale"], group["weight_decay"])) for group in made for parameter in group["params"]
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.parametrize(("name", "head"), [RESNET, VIT])
def test_biases_norms_and_embeddings_have_no_weight_decay(name: str, head: tuple[str, str]) -> None:
    model = timm.create_model(name)
    found = groups(model, head=head)
    assert found.keys() == dict(model.named_parameters()).keys()
    plain = [name for name, (_, decay) in found.items() if not decay]
    assert all(parameter.ndim > 1 or name in plain for name, parameter in model.named_parameters())
    assert {name for name in plain if model.get_parameter(name).ndim > 1} == (
        {"cls_token", "pos_embed", "reg_token"} & found.keys()
    )
    assert {scale for scale, _ in found.values()} == {1.0}


@pytest.mark.parametrize(("name", "head"), [RESNET, VIT])
def test_layer_decay_slows_the_early_layers(name: str, head: tuple[str, str]) -> None:
    model = timm.create_model(name)
    found = groups(model, layer_decay=0.5, head_scale=3.0, head=head)
    assert {found[part][0] for part in head} == {3.0}
    early, late = (
        ("conv1.0.weight", "layer4.0.conv1.weight")
        if name == "test_resnet"
        else ("patch_embed.proj.weight", "blocks.5.attn.qkv.weight")
    )
    assert found[early][0] < found[late][0] <= 1
    depths = build.layer_depths(model)
    ordered = sorted((depths[part], scale) for part, (scale, _) in found.items() if part not in head)
    assert [scale for _, scale in ordered] == sorted(scale for _, scale in ordered)
    assert all(scale == 0.5 ** (max(depths.values()) - depth) for depth, scale in ordered)


def test_frozen_parameters_are_left_out() -> None:
    model = timm.create_model("test_resnet")
    model.get_parameter("conv1.0.weight").requires_grad_(False)
    assert "conv1.0.weight" not in groups(model)
    assert len(groups(model)) == len(list(model.parameters())) - 1


def test_layers_without_names_are_an_error() -> None:
    with pytest.raises(ZooError, match=r"^finetune: Linear does not name its layers"):
        build.parameter_groups(nn.Linear(2, 2), 0.1, 0.5, 1.0, set())


# ------------------------------------------------------------------------------------- optimizers


def make(**options: Any) -> Any:
    return build_optimizer(Optim(**options), timm.create_model("test_resnet"), head_lr_scale=2.0, head=RESNET[1])


def test_adamw_is_torchs_fused_one_and_learns_by_group() -> None:
    optimizer = make(name="adamw", lr=0.1, weight_decay=0.3)
    assert type(optimizer) is torch.optim.AdamW
    assert all(group["fused"] for group in optimizer.param_groups)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.3}
    build.set_lr(optimizer, 0.05)
    assert {(group["lr_scale"], group["lr"]) for group in optimizer.param_groups} == {(1.0, 0.05), (2.0, 0.1)}


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        ({"name": "adamw"}, "betas", (0.9, 0.999)),
        ({"name": "adamw", "beta2": 0.95}, "betas", (0.9, 0.95)),
        ({"name": "adamw", "momentum": 0.8}, "betas", (0.8, 0.999)),
        ({"name": "adamw", "momentum": 0.8, "beta2": 0.95}, "betas", (0.8, 0.95)),
        ({"name": "lion"}, "betas", (0.9, 0.99)),
        ({"name": "adan"}, "betas", (0.98, 0.92, 0.99)),
        ({"name": "adan", "momentum": 0.9}, "betas", (0.9, 0.92, 0.99)),
        ({"name": "novograd", "momentum": 0.9, "beta2": 0.9}, "betas", (0.9, 0.9)),
        ({"name": "adamw", "momentum": 0.9}, "betas", (0.9, 0.999)),
        ({"name": "lion", "momentum": 0.95}, "betas", (0.95, 0.99)),
        ({"name": "sgd"}, "momentum", 0.9),
        ({"name": "sgd", "momentum": 0.8}, "momentum", 0.8),
        ({"name": "momentum", "momentum": 0.0}, "momentum", 0.0),
        ({"name": "sgd"}, "nesterov", True),
        ({"name": "momentum"}, "nesterov", False),
        ({"name": "rmsprop", "momentum": 0.5}, "momentum", 0.5),
    ],
)
def test_options_reach_the_optimizer(options: dict[str, Any], key: str, value: object) -> None:
    assert all(group[key] == value for group in make(**options).param_groups)


def test_a_second_beta_is_refused_where_there_is_none() -> None:
    with pytest.raises(ZooError, match=r"^optim\.beta2: sgd has no second beta"):
        make(name="sgd", beta2=0.9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [name for name in names.table()["optimizers"] if not name.startswith("kron")]
)  # kron compiles for a minute
def test_every_optimizer_takes_a_step_or_says_why_not(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    try:
        optimizer = build_optimizer(Optim(name=name, lr=1e-2), model)
    except ZooError as error:
        (line,) = error.lines
        assert line.startswith(f"optim.name: {name} cannot be created: ")
        assert name.startswith(("fused", "bnb", "apex")) or name == "adahessian"
        return
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(3, 3, 4, 4) * torch.arange(3.0).view(3, 1, 1, 1)).square().sum().backward()
        optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
