"""The losses: they equal timm's if timm has them; and properties that all of them share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.loss import AsymmetricLossMultiLabel, BinaryCrossEntropy
from torch import Tensor
from torch.nn import functional

from zoo.optim.losses import Asymmetric, Bce, CrossEntropy, Focal, smoothed

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 4, generator=GENERATOR) * 3
TARGETS = torch.tensor([0, 1, 2, 3, 0, 1])
MIXED = torch.rand(6, 4, generator=GENERATOR).softmax(1)
ALL = [
    CrossEntropy(),
    Bce(),
    Focal(),
    Focal(gamma=0.5),
    Asymmetric(),
    Asymmetric(gamma_positive=0.5, gamma_negative=0.5),
    Asymmetric(gamma_positive=0.0, gamma_negative=2.0, clip=0.0),
]


def of(loss: Any, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    return loss.of_images(logits, targets, smoothing)


@pytest.mark.parametrize("loss", ALL, ids=str)
def test_a_mixed_target_costs_the_mean_of_its_classes_by_their_shares(loss: Any) -> None:
    each = torch.stack([of(loss, LOGITS, torch.full((6,), label)) for label in range(4)], dim=1)  # [B, C]
    torch.testing.assert_close(of(loss, LOGITS, MIXED), (MIXED * each).sum(1))
    torch.testing.assert_close(of(loss, LOGITS, MIXED, 0.2), (smoothed(MIXED, LOGITS, 0.2) * each).sum(1))
    torch.testing.assert_close(of(loss, LOGITS, TARGETS, 0.2), of(loss, LOGITS, functional.one_hot(TARGETS, 4).float(), 0.2))


@pytest.mark.parametrize("loss", ALL, ids=str)
def test_an_image_costs_the_same_whatever_stands_beside_it(loss: Any) -> None:
    assert of(loss, LOGITS, TARGETS).shape == (6,)
    alone = [of(loss, LOGITS[row : row + 1], TARGETS[row : row + 1]) for row in range(6)]
    torch.testing.assert_close(of(loss, LOGITS, TARGETS), torch.cat(alone))


@pytest.mark.parametrize("loss", ALL, ids=str)
@pytest.mark.parametrize("size", [0.0, 20.0, 1e4, 65504.0])
def test_losses_and_gradients_are_finite_however_sure_the_model_is(loss: Any, size: float) -> None:
    logits = (torch.eye(4) * size - (1 - torch.eye(4)) * size).requires_grad_()
    for targets in (torch.arange(4), torch.arange(4).flip(0), torch.full((4, 4), 0.25)):
        found = of(loss, logits, targets, 0.1)
        (gradient,) = torch.autograd.grad(found.sum(), logits)
        assert found.isfinite().all()
        assert (found >= 0).all()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", ALL, ids=str)
def test_the_gradient_is_that_of_the_loss(loss: Any) -> None:
    logits = LOGITS.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: of(loss, x, TARGETS, 0.1), logits)


def test_cross_entropy_is_torchs() -> None:
    theirs = functional.cross_entropy(LOGITS, MIXED, label_smoothing=0.1, reduction="none")
    assert torch.equal(of(CrossEntropy(), LOGITS, MIXED, 0.1), theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("threshold", [None, 0.2])
def test_bce_is_timms(smoothing: float, threshold: float | None) -> None:
    theirs = BinaryCrossEntropy(smoothing, threshold, reduction="none")
    torch.testing.assert_close(of(Bce(threshold=threshold), LOGITS, TARGETS, smoothing), theirs(LOGITS, TARGETS).sum(1))
    torch.testing.assert_close(of(Bce(threshold=threshold), LOGITS, MIXED), theirs(LOGITS, MIXED).sum(1))


def test_focal_is_cross_entropy_at_0_and_counts_clear_images_less() -> None:
    plain = of(CrossEntropy(), LOGITS, TARGETS)
    torch.testing.assert_close(of(Focal(gamma=0.0), LOGITS, TARGETS), plain)
    p = LOGITS.softmax(1)[torch.arange(6), TARGETS]
    torch.testing.assert_close(of(Focal(gamma=2.0), LOGITS, TARGETS), (1 - p) ** 2 * plain)


@pytest.mark.parametrize(("positive", "negative", "clip"), [(1.0, 4.0, 0.05), (0.0, 4.0, 0.05), (2.0, 2.0, 0.0), (0.0, 0.0, 0.2)])
def test_asymmetric_is_timms_on_plain_labels(positive: float, negative: float, clip: float) -> None:
    ours = Asymmetric(gamma_positive=positive, gamma_negative=negative, clip=clip)
    theirs = AsymmetricLossMultiLabel(negative, positive, clip, reduction="none")
    hot = functional.one_hot(TARGETS, 4).float()
    torch.testing.assert_close(of(ours, LOGITS, TARGETS), theirs(LOGITS, hot).sum(1), atol=1e-5, rtol=1e-5)


def test_asymmetric_without_powers_and_clip_is_bce() -> None:
    ours = Asymmetric(gamma_positive=0.0, gamma_negative=0.0, clip=0.0)
    torch.testing.assert_close(of(ours, LOGITS, MIXED, 0.1), of(Bce(), LOGITS, MIXED, 0.1))


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_bce_starts_where_images_of_no_kind_leave_it(classes: int) -> None:
    """With the same number of images of each class, the gradient of a new head's bias is zero at the start."""
    start = Bce().start(classes)
    logits = torch.full((classes, classes), start, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(of(Bce(), logits, torch.arange(classes)).sum(), logits)
    assert gradient.sum(0).abs().max() < 1e-6
    assert torch.sigmoid(torch.tensor(start)) == pytest.approx(1 / classes)
    assert [loss.start(classes) for loss in (CrossEntropy(), Focal(), Asymmetric())] == [0.0] * 3
