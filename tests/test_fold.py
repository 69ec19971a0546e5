from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

from zoo import finetune, fold

# What can be folded: all of the first three; in a DenseNet only the norms that read one convolution alone.
MODELS = {"resnet18": 20, "tf_efficientnet_lite0": 49, "mobilenetv3_small_050": 34, "test_efficientnet": 13}
EXAMPLE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def lively(model: nn.Module) -> nn.Module:
    """A model whose statistics and scales are not those of the start."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in [
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.2, 0.2),
            ]:
                tensor.data.uniform_(low, high, generator=generator)
    return model.eval()


class Dense(nn.Module):
    """Three layers on everything before, as in a DenseNet: norm1 reads a concatenation, norm2 one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"norm1": nn.BatchNorm2d(4 * n), "conv1": nn.Conv2d(4 * n, 8, 1, bias=False), "norm2": nn.BatchNorm2d(8), "conv2": nn.Conv2d(8, 4, 1)})
            for n in (1, 2, 3)
        )  # fmt: skip
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.stem(x)]
        for layer in self.layers:
            hidden = layer["conv1"](layer["norm1"](torch.cat(parts, 1)).relu())
            parts.append(layer["conv2"](layer["norm2"](hidden).relu()))
        return self.head(torch.cat(parts, 1).mean((2, 3)))


class ReadTwice(nn.Module):
    """The convolution's output is read beside the norm too: folding would change it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward_features(self, x: Tensor) -> Tensor:
        hidden = self.conv(x)
        return self.norm(hidden) + hidden

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x).mean((2, 3)))


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return lively(Dense() if name == "dense" else timm.create_model(name, num_classes=5))


def norms(model: nn.Module) -> list[nn.Module]:
    return [module for _, module in finetune.batch_norms(model)]


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model.eval()(EXAMPLE)


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize(("name", "count"), [*MODELS.items(), ("dense", 3)])
def test_folding_changes_no_logits_and_unfolding_gives_everything_back(name: str, count: int) -> None:
    model = build(name)
    before, state = logits(model), {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.train()
    folds = fold.fold(model, norms(model), EXAMPLE)
    assert model.training
    assert len(folds) == count
    assert apart(logits(model), before) < 1e-4
    left = norms(model)
    assert len(left) == (3 if name == "dense" else 0)
    fold.unfold(model, folds)
    after = model.state_dict()
    assert list(after) == list(state)
    assert all(torch.allclose(after[key], state[key], rtol=1e-5, atol=1e-6) for key in state)
    assert apart(logits(model), before) < 1e-4


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "dense"])
def test_what_is_learned_while_folded_is_in_the_unfolded_model(name: str) -> None:
    model = build(name)
    before = logits(model)
    folds = fold.fold(model, norms(model), EXAMPLE)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    nn.functional.cross_entropy(model.eval()(EXAMPLE), torch.tensor([1, 2])).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    optimizer.step()
    trained = logits(model)
    assert apart(trained, before) > 1e-3
    fold.unfold(model, folds)
    assert apart(logits(model), trained) < 1e-4


def test_one_step_folded_is_near_one_step_unfolded_in_direction() -> None:
    """The convolution's bias and the norm's bias are the same parameter in other words."""
    folded, plain = build("test_resnet"), build("test_resnet")
    fold.fold(folded, norms(folded), EXAMPLE)
    for model in (folded, plain):
        nn.functional.cross_entropy(model.eval()(EXAMPLE), torch.tensor([1, 2])).backward()
    one, other = folded.get_parameter("layer1.0.conv1.bias").grad, plain.get_parameter("layer1.0.bn1.bias").grad
    assert one is not None
    assert other is not None
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


def test_only_frozen_norms_are_folded() -> None:
    model = build("resnet18")
    chosen = [model.get_submodule("bn1"), model.get_submodule("layer1.0.bn2")]
    assert {one.norm for one in fold.fold(model, chosen, EXAMPLE)} == {"bn1", "layer1.0.bn2"}
    assert isinstance(model.get_submodule("layer1.1.bn1"), nn.BatchNorm2d)


def test_frozen_convolutions_stay_frozen() -> None:
    model = build("resnet18")
    frozen = finetune.freeze(finetune.Finetune(freeze=2, batch_norm="frozen"), model, ("fc.weight", "fc.bias"))
    fold.fold(model, frozen, EXAMPLE)
    bias = {name: model.get_parameter(f"{name}.bias").requires_grad for name in ("conv1", "layer1.0.conv1", "layer2.0.conv1")}
    assert bias == {"conv1": False, "layer1.0.conv1": False, "layer2.0.conv1": True}


@pytest.mark.parametrize("spoil", ["zero head", "zero scale", "none frozen"])
def test_what_cannot_be_folded_is_left_alone(spoil: str) -> None:
    model = lively(ReadTwice()) if spoil == "zero head" else build("dense")
    if spoil == "zero head":
        nn.init.zeros_(model.get_parameter("head.weight"))
    if spoil == "zero scale":
        for module in norms(model):
            nn.init.zeros_(module.get_parameter("weight")[:1])
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    assert fold.fold(model, [] if spoil == "none frozen" else norms(model), EXAMPLE) == []
    after = model.state_dict()
    assert list(after) == list(state)
    assert all(torch.allclose(after[key], state[key], atol=1e-6) for key in state)


# -------------------------------------------------------------------------------------- freezing

HEAD = ("fc.weight", "fc.bias")


def trained(freeze: int | str) -> Callable[[str], bool]:
    model = timm.create_model("test_resnet", num_classes=3)
    finetune.freeze(finetune.Finetune(freeze=freeze), model, HEAD)  # type: ignore[arg-type]
    return lambda prefix: any(parameter.requires_grad for name, parameter in model.named_parameters() if name.startswith(prefix))


@pytest.mark.parametrize(
    ("freeze", "learning"),
    [("none", ["conv1", "layer1", "layer4", "fc"]), (0, ["conv1", "layer1", "layer4", "fc"]), (1, ["layer1", "layer4", "fc"]),
     (2, ["layer2", "layer4", "fc"]), (5, ["fc"]), ("backbone", ["fc"])],
)  # fmt: skip
def test_freezing_stages(freeze: int | str, learning: list[str]) -> None:
    is_trained = trained(freeze)
    parts = ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
    found = [part for part in parts if is_trained(part)]
    assert found[0] == learning[0]
    assert found == parts[parts.index(learning[0]) :]


def test_frozen_norms_keep_still() -> None:
    def count(**options: object) -> int:
        model = timm.create_model("test_resnet", num_classes=3)
        return len(finetune.freeze(finetune.Finetune(**options), model, HEAD))  # type: ignore[arg-type]

    whole = len(finetune.batch_norms(timm.create_model("test_resnet")))
    assert count() == 0
    assert count(batch_norm="frozen") == count(freeze="backbone") == whole
    assert 0 < count(freeze=2) < whole
