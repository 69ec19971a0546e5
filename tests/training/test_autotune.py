from __future__ import annotations

import pytest
import timm
import torch

from zoo.models.fast_conv import use_fast_convs
from zoo.models.fold_batchnorm import fold_batchnorm
from zoo.models.layers import batch_norms
from zoo.training import autotune

CPU = torch.device("cpu")


def folded(name: str = "test_efficientnet") -> torch.nn.Module:
    model = timm.create_model(name, num_classes=5)
    use_fast_convs(model)
    norms = [norm for _, norm in batch_norms(model)]
    fold_batchnorm(model, norms, torch.randn(2, 3, 64, 64))
    model.train()
    for norm in norms:
        norm.eval()
    return model


def test_what_a_forward_pass_keeps_grows_with_the_pixels() -> None:
    model = folded()
    small, large = (autotune._kept_bytes(model, size, CPU, "fp32") for size in (32, 64))
    assert large == pytest.approx(4 * small, rel=0.1)
    # It is more than the outputs of the convolutions, which are all kept.
    outputs = 0

    def count(_layer: object, _inputs: object, output: torch.Tensor) -> None:
        nonlocal outputs
        outputs += output.nbytes

    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    model(torch.zeros(1, 3, 64, 64))
    assert outputs < large < 4 * outputs


@pytest.mark.parametrize(
    ("kept", "batch", "parts"),
    [
        (1.0, 64, [8, 4, 2]),
        (autotune.MOST_KEPT_BYTES / 16, 64, [8, 4]),
        (1e12, 64, [8]),
        (1.0, 32, [4, 2, 1]),
        (1.0, 20, [3, 2, 1]),
    ],
)
def test_parts_that_keep_too_much_are_not_tried(
    monkeypatch: pytest.MonkeyPatch, kept: float, batch: int, parts: list[int]
) -> None:
    monkeypatch.setattr(autotune, "_kept_bytes", lambda *_: kept)
    assert list(autotune._race_parts(folded(), 32, batch, CPU, ("fp32", False))) == parts


class Moody(torch.nn.Module):
    """A network that overflows in bf16, or runs out of memory in bf16 with more than `room` images."""

    def __init__(self, *, overflows: bool = False, room: int = 1000) -> None:
        super().__init__()
        self.layer, self.overflows, self.room = torch.nn.Conv2d(3, 4, 3), overflows, room

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.room and torch.is_autocast_enabled("cpu"):
            raise torch.OutOfMemoryError("no room")
        logits = self.layer(images).mean((2, 3))
        return logits * (float("inf") if self.overflows and torch.is_autocast_enabled("cpu") else 1)


@pytest.mark.parametrize("network", [Moody(overflows=True), Moody(room=12), Moody(room=2)])
def test_what_overflows_or_has_no_room_is_not_chosen(network: Moody) -> None:
    speeds = autotune.time_candidates(network, 16, 16, CPU, [("bf16", False), ("fp32", False)])
    assert speeds["bf16", False] < speeds["fp32", False]
    assert autotune.fastest(speeds) == ("fp32", False)


def test_where_nothing_is_finite_the_first_is_taken() -> None:
    network = Moody()
    torch.nn.init.constant_(network.layer.weight, float("nan"))
    candidates = [("fp32", True), ("fp32", False)]
    assert autotune.fastest(autotune.time_candidates(network, 16, 16, CPU, candidates)) == candidates[0]


@pytest.mark.parametrize(("seconds", "rounds"), [(0.1, autotune.MOST_ROUNDS), (1.0, autotune.ROUNDS), (10.0, 1)])
def test_candidates_are_timed_in_fewer_rounds_where_steps_are_slow(
    seconds: float, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def step() -> float:
        nonlocal now
        now += seconds
        return seconds

    monkeypatch.setattr(autotune.time, "perf_counter", lambda: now)
    monkeypatch.setattr(autotune, "stepper", lambda *_arguments, **_options: step)
    candidates = [("fp32", True), ("fp32", False)]
    found = autotune._rounds(lambda _candidate: step(), candidates)
    assert [len(found[candidate]) for candidate in candidates] == [rounds, rounds]
    began = now
    autotune._race_parts(folded(), 32, 64, CPU, candidates[0])
    # Three micro-batch sizes are timed.
    assert now - began == pytest.approx(3 * seconds * min(rounds, autotune.ROUNDS))
