"""The lines that show which parameters are trained, and with which learning rates."""

from __future__ import annotations

import pytest
from torch import nn

from zoo.optim.build import build_optimizer
from zoo.optim.options import Optim
from zoo.system.console import Console
from zoo.training.parameter_table import describe_parameters, parts_of


class Net(nn.Module):
    """Two layers and a head, with a `group_matcher` as timm's models have."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(400, 300), nn.Linear(300, 20), nn.Linear(20, 2)

    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        return {"stem": "^one", "blocks": "^two|^head"}


HEAD = ("head.weight", "head.bias")


def lines(capsys: pytest.CaptureFixture[str], net: nn.Module, optim: Optim, **groups: float) -> list[str]:
    optimizer = build_optimizer(optim, net, head=HEAD, **groups)
    describe_parameters(parts_of(net, HEAD, optimizer.param_groups), optim.lr, Console())
    return capsys.readouterr().out.splitlines()


def test_one_line_for_the_backbone_and_one_for_the_head(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, Net(), Optim(lr=3e-4), head_lr_scale=10.0) == [
        "parameters backbone   0.13 M   peak lr 0.0003        weight decay 0.05, 0 for biases and norms",
        "           head           42   peak lr 0.003 (10x)   weight decay 0.05, 0 for biases and norms",
    ]


def test_what_is_frozen_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    net = Net()
    net.one.requires_grad_(False)
    assert lines(capsys, net, Optim(lr=0.1, weight_decay=0.0)) == [
        "parameters backbone   0.12 M   frozen",
        "           backbone    6,020   peak lr 0.1   no weight decay",
        "           head           42   peak lr 0.1   no weight decay",
    ]


def test_many_rates_are_one_line_with_their_range(capsys: pytest.CaptureFixture[str]) -> None:
    backbone, head = lines(capsys, Net(), Optim(lr=0.1), layer_decay=0.5, head_lr_scale=2.0)
    assert "peak lr 0.05 to 0.1, 2 rates by depth" in backbone
    assert "peak lr 0.2 (2x)" in head


def test_every_parameter_is_counted_once() -> None:
    net = Net()
    net.two.requires_grad_(False)
    parts = parts_of(net, HEAD, build_optimizer(Optim(), net, head=HEAD).param_groups)
    assert sum(part.count for part in parts) == sum(parameter.numel() for parameter in net.parameters())
    assert [(part.name, part.learns) for part in parts] == [("backbone", False), ("backbone", True), ("head", True)]
