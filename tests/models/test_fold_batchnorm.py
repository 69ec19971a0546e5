from __future__ import annotations

import copy

import pytest
import timm
import torch
from helpers.models import lively
from timm.layers import BatchNormAct2d
from torch import nn

from zoo.models.fast_conv import use_fast_convs
from zoo.models.fold_batchnorm import fold_batchnorm
from zoo.models.layers import batch_norms

EXAMPLE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def frozen(model: torch.nn.Module) -> list[torch.nn.Module]:
    return [norm for _, norm in batch_norms(model)]


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("test_resnet", 0.7),
        ("test_efficientnet", 0.7),
        ("tf_efficientnet_lite0", 0.6),
        ("mobilenetv3_small_050", 0.6),
        ("densenet121", 0.1),
        ("test_vit", 0),
    ],
)
def test_the_logits_stay_and_so_does_every_tensor(name: str, share: float) -> None:
    if name == "test_vit":
        assert fold_batchnorm(timm.create_model(name, num_classes=5, img_size=64), [], EXAMPLE) == 0
        return
    model = lively(name)
    before, logits = copy.deepcopy(model.state_dict()), model(EXAMPLE)
    norms = frozen(model)
    assert share * len(norms) <= fold_batchnorm(model, norms, EXAMPLE) <= len(norms)
    torch.testing.assert_close(model(EXAMPLE), logits, atol=1e-4, rtol=1e-4)
    assert list(before) == list(model.state_dict())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_only_what_has_more_activations_than_weights_is_folded() -> None:
    model = lively("resnet18")
    norms = frozen(model)
    assert 0 < fold_batchnorm(model, norms, EXAMPLE) < len(norms)
    assert type(model.layer4[1].conv2) is torch.nn.Conv2d
    assert type(model.conv1) is not torch.nn.Conv2d


def test_gradients_are_those_of_the_separate_layers() -> None:
    plain, folded = lively("test_efficientnet").double(), lively("test_efficientnet").double()
    assert fold_batchnorm(folded, frozen(folded), EXAMPLE.double()) > 10
    for model in (plain, folded):
        model(EXAMPLE.double()).square().sum().backward()
    for (name, ours), theirs in zip(folded.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-8, rtol=1e-6, msg=name)


def test_a_copy_computes_with_its_own_tensors() -> None:
    model = lively("test_resnet")
    fold_batchnorm(model, frozen(model), EXAMPLE)
    twin = copy.deepcopy(model)
    logits = model(EXAMPLE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    assert torch.equal(twin(EXAMPLE), logits)


def test_only_what_is_frozen_is_folded() -> None:
    model = lively("test_resnet")
    assert fold_batchnorm(model, frozen(model)[:3], EXAMPLE) == 3
    model.train()
    running = copy.deepcopy([norm.running_mean for norm in frozen(model)])
    model(EXAMPLE)
    assert len(running) == len(frozen(lively("test_resnet"))) - 3
    assert not any(torch.equal(now.running_mean, then) for now, then in zip(frozen(model), running, strict=True))


@pytest.mark.parametrize("zero_head", [False, True])
def test_a_model_that_reads_a_convolution_twice_is_left_alone(zero_head: bool) -> None:
    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.fc = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 5)

        def get_classifier(self) -> torch.nn.Module:
            return self.fc

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out = self.conv(images)
            return self.fc((self.norm(out) + out).mean((2, 3)))

    torch.manual_seed(0)
    model = Twice().eval()
    model.norm.running_mean.fill_(0.5)
    if zero_head:
        torch.nn.init.zeros_(model.fc.weight)
    logits = model(EXAMPLE)
    assert fold_batchnorm(model, [model.norm], EXAMPLE) == 0
    assert torch.equal(model(EXAMPLE), logits)
    assert isinstance(model.norm, torch.nn.BatchNorm2d)


@pytest.mark.parametrize("writer", ["always", "dropout"])
def test_an_activation_that_is_written_over_stays_a_layer_of_its_own(writer: str) -> None:
    class Writer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.norm = BatchNormAct2d(4, act_layer=nn.ReLU6, inplace=False)
            self.drop = nn.Dropout(0.5, inplace=True)
            self.conv2 = nn.Conv2d(4, 4, 3)
            self.norm2 = BatchNormAct2d(4, act_layer=nn.ReLU6)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen = self.norm(self.conv(images))
            if writer == "always":
                seen.mul_(2)
            seen = self.drop(seen)
            return self.norm2(self.conv2(seen)).mean((2, 3))

    model = Writer().eval()
    plain = copy.deepcopy(model)
    images = torch.randn(2, 3, 16, 16)
    assert fold_batchnorm(model, [model.norm, model.norm2], images) == 2
    assert not model.norm.fused
    for each in (model, plain):
        each.drop.train()
        torch.manual_seed(0)
        each(images).square().sum().backward()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("where", ["conv_stem.weight", "bn1.running_var", "blocks.3.0.conv_pw.weight"])
def test_weights_that_are_not_finite_are_not_hidden(where: str) -> None:
    model = lively("tf_efficientnet_lite0")
    use_fast_convs(model)
    model.state_dict()[where].view(-1)[0] = float("nan")
    assert fold_batchnorm(model, frozen(model), EXAMPLE) == 0
    assert model(EXAMPLE).isnan().any()


def test_weights_that_lose_their_value_while_training_make_gradients_that_are_not_finite() -> None:
    model = lively("tf_efficientnet_lite0")
    assert fold_batchnorm(model, frozen(model), EXAMPLE) > 20
    model.state_dict()["blocks.3.0.conv_pw.weight"].view(-1)[0] = float("nan")
    model(EXAMPLE).logsumexp(1).sum().backward()
    assert not all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_backbone_that_learns_nothing_is_folded_too() -> None:
    model = lively("tf_efficientnet_lite0")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("classifier"))
    assert fold_batchnorm(model, frozen(model), EXAMPLE) > 20
