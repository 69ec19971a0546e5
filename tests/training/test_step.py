"""One optimizer step: every image counts the same, however the step is divided. More tests are in tests/training/test_run.py."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.training.step import NoRoomForStep, losses, train_step
from zoo.training.watch import StepWatch

IMAGES = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 2, 0, 1, 2])


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return losses(logits, targets, 0.0, None)


def step(parts: list[int], lr: float = 0.5, clip: float | None = None) -> tuple[nn.Module, Tensor]:
    """Take a step of SGD over six images in micro-batches of these sizes, from the same weights each time."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "lr_scale": 1.0}], lr=99.0)
    batches = list(zip(IMAGES.split(parts), TARGETS.split(parts), strict=True))
    sums = train_step(
        model, batches, optimizer, watch=StepWatch(Accelerator(cpu=True), optimizer),
        parts=len(parts), total=6, lr=lr, loss_fn=cross_entropy, clip=clip,
    )  # fmt: skip
    return model, sums


def weight(model: nn.Module) -> Tensor:
    return next(model.parameters()).detach()


def test_a_step_is_that_of_the_mean_loss_and_returns_sums():
    start = weight(step([6], lr=0.0)[0])
    model, sums = step([6])
    plain = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    plain.load_state_dict(step([6], lr=0.0)[0].state_dict())
    logits = plain(IMAGES)
    loss = nn.functional.cross_entropy(logits, TARGETS)
    loss.backward()
    gradient = next(plain.parameters()).grad
    assert gradient is not None
    assert torch.allclose(weight(model), start - 0.5 * gradient, atol=1e-6)
    assert sums.tolist() == pytest.approx([6 * float(loss.detach()), int((logits.argmax(1) == TARGETS).sum())], rel=1e-5)


@pytest.mark.parametrize("parts", [[3, 3], [4, 2], [5, 1]])
def test_micro_batches_of_any_size_make_the_same_step(parts: list[int]):
    whole, sums = step([6])
    model, same = step(parts)
    assert torch.allclose(weight(model), weight(whole), atol=1e-6)
    assert same.tolist() == pytest.approx(sums.tolist())


def test_the_gradient_is_clipped_to_its_norm():
    start = weight(step([6], lr=0.0)[0])
    model = step([3, 3], lr=1.0, clip=0.01)[0]
    moved = weight(model) - start
    assert 0 < float(moved.norm()) <= 0.01 + 1e-6


def test_targets_may_be_shares_of_classes():
    shares = nn.functional.one_hot(TARGETS, 3).float()
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    weights = torch.tensor([0.5, 1.0, 2.0])
    for smoothing in (0.0, 0.1):
        for chosen in (None, weights):
            assert torch.allclose(
                losses(logits, shares, smoothing, chosen), losses(logits, TARGETS, smoothing, chosen), atol=1e-6
            )


@pytest.mark.parametrize(("text", "known"), [("CUDA error: CUBLAS_STATUS_ALLOC_FAILED", True), ("mat1 and mat2 shapes", False)])
def test_a_step_without_room_is_told_apart_from_a_mistake(text: str, known: bool) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "lr_scale": 1.0}], lr=1.0)

    def fail(logits: Tensor, targets: Tensor) -> Tensor:
        raise RuntimeError(text)

    with pytest.raises(NoRoomForStep if known else RuntimeError, match=text):
        train_step(
            model, [(torch.ones(1, 2), torch.tensor([0]))], optimizer,
            watch=StepWatch(Accelerator(cpu=True), optimizer), parts=1, total=1, lr=1.0, loss_fn=fail,
        )  # fmt: skip
