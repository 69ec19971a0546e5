"""Low-rank updates change nothing at first and merge into timm's weights; layers that cannot be merged are refused."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import timm
import torch
from helpers.models import lively
from torch import nn

from zoo.errors import ZooError
from zoo.models.finetune import Lora
from zoo.models.fold_batchnorm import FoldedConv2d, FoldedUpdate, fold_batchnorm
from zoo.models.layers import batch_norms, is_update
from zoo.models.lora import add_lora, merge_lora, updated_layers

EXAMPLE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def build(name: str = "test_resnet") -> Any:
    if name == "test_vit":
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=3, img_size=64).eval()
    return lively(name)


def learn(model: nn.Module) -> None:
    """Change the updates as training would: before, their second matrix is zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, layer in updated_layers(model):
            layer.lora_B["default"].weight.normal_(0, 0.01, generator=generator)


CASES = [
    ("test_vit", Lora()),
    ("test_vit", Lora(rank=2, targets=("fc1", "blocks.0.attn.*", "patch_embed.proj"))),
    ("test_resnet", Lora(rank=4, alpha=4.0)),
    ("test_resnet", Lora(targets=("conv*",))),
    ("test_efficientnet", Lora()),
    ("tf_efficientnet_lite0", Lora(targets=("conv_stem", "conv_pw"))),
    ("test_convnext", Lora(targets=("downsample.1",))),
]


@pytest.mark.parametrize(("name", "lora"), CASES)
def test_merged_and_unmerged_logits_are_the_same(name: str, lora: Lora) -> None:
    model = build(name)
    names, start = list(model.state_dict()), model(EXAMPLE)
    layers = add_lora(lora, model, EXAMPLE, seed=0)
    assert torch.equal(model(EXAMPLE), start), "an update is zero at first"
    learn(model)
    learned = model(EXAMPLE)
    assert not torch.allclose(learned, start, rtol=1e-3, atol=1e-3)
    assert merge_lora(model) == len(layers)
    # The tolerance is relative to the largest logit, or absolute if that is below 1.
    size = max(1.0, float(learned.abs().max().detach()))
    torch.testing.assert_close(model(EXAMPLE), learned, atol=1e-5 * size, rtol=0)
    assert list(model.state_dict()) == names
    assert not any("peft" in type(module).__module__ for module in model.modules())
    assert merge_lora(model) == 0


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "tf_efficientnet_lite0"])
def test_batch_norm_is_folded_into_a_convolution_with_its_update(name: str) -> None:
    plain, model = build(name), build(name)
    add_lora(Lora(), model, EXAMPLE, seed=0)
    learn(model)
    separate = copy.deepcopy(model)
    folded = fold_batchnorm(model, [norm for _, norm in batch_norms(model)], EXAMPLE)
    assert folded == fold_batchnorm(plain, [norm for _, norm in batch_norms(plain)], EXAMPLE) > 0
    assert any(isinstance(module, FoldedUpdate) for module in model.modules())
    for each in (model, separate):
        each.double()(EXAMPLE.double()).square().sum().backward()
    for (key, ours), theirs in zip(model.named_parameters(), separate.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-8, rtol=1e-6, msg=key)
    learned = copy.deepcopy(model)(EXAMPLE.double())
    merge_lora(model)
    torch.testing.assert_close(model(EXAMPLE.double()), learned, atol=1e-8, rtol=1e-8)
    # The layers have the same types as in a model that never had updates.
    assert [type(module) for module in model.modules()] == [type(module) for module in plain.modules()]
    assert any(isinstance(module, FoldedConv2d) for module in model.modules())


def test_auto_takes_attention_or_else_pointwise_layers_and_never_the_head() -> None:
    assert {name.partition(".attn.")[2] for name in add_lora(Lora(), build("test_vit"), EXAMPLE, 0)} == {"qkv", "proj"}
    model = build("tf_efficientnet_lite0")
    names = add_lora(Lora(), model, EXAMPLE, 0)
    assert len(names) == 32
    assert {name.rpartition(".")[2] for name in names} == {"conv_pw", "conv_pwl", "conv_head"}
    assert type(model.classifier) is nn.Linear


def test_updates_are_a_function_of_the_seed_alone() -> None:
    def first(seed: int) -> torch.Tensor:
        model = build()
        before = torch.get_rng_state()
        add_lora(Lora(), model, EXAMPLE, seed)
        assert torch.equal(torch.get_rng_state(), before)
        return torch.cat([value.flatten() for name, value in model.named_parameters() if is_update(name)])

    found = first(1)
    torch.manual_seed(5)
    assert torch.equal(first(1), found)
    assert not torch.equal(first(2), found)


class Bypassing(nn.Module):
    """A model that uses the weights of a layer without calling it, as BEiT's attention does, and has a subclass of nn.Linear."""

    class Own(nn.Linear):
        pass

    def __init__(self) -> None:
        super().__init__()
        self.passed, self.own, self.plain, self.fc = nn.Linear(3, 3), self.Own(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        return self.fc(self.plain(self.own(nn.functional.linear(means, self.passed.weight))))


@pytest.mark.parametrize(
    ("model", "target", "message"),
    [
        ("test_resnet", "conv9", r"conv9 matches no linear layer or convolution of the backbone \(e.g. conv"),
        ("test_vit", "qvk", r"qvk matches no .* \(e.g. qkv"),
        ("test_vit", "head", r"head matches no linear layer"),
        ("tf_efficientnet_lite0", "conv_dw", r"conv_dw matches blocks\.0\.0\.conv_dw, a grouped or depthwise convolution"),
        ("test_nfnet", "conv1", r"conv1 matches .*, a ScaledStdConv2d, which may transform its weights"),
        ("bypassing", "passed", "passed matches passed, whose weights the backbone uses"),
        ("bypassing", "own", "own matches own, a Own, which"),
    ],
)
def test_what_cannot_be_merged_is_refused_before_anything_is_changed(model: str, target: str, message: str) -> None:
    built = Bypassing() if model == "bypassing" else build(model)
    names = list(built.state_dict())
    with pytest.raises(ZooError, match=rf"^finetune\.lora\.targets: {message}"):
        add_lora(Lora(targets=(target,)), built, EXAMPLE, 0)
    assert list(built.state_dict()) == names


def test_auto_leaves_out_what_cannot_be_merged() -> None:
    assert add_lora(Lora(), Bypassing(), EXAMPLE, 0) == ["plain"]
    model = Bypassing()
    model.plain = nn.Identity()  # type: ignore[assignment]
    with pytest.raises(ZooError, match="Bypassing has no linear layer and no 1x1 convolution that auto could choose"):
        add_lora(Lora(), model, EXAMPLE, 0)


def test_peft_is_imported_where_it_is_asked_for_only() -> None:
    program = "import sys, zoo, zoo.training.run; sys.exit(any(name in sys.modules for name in ('peft', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
