"""The linear probe finds the minimum of its loss, whatever the scale of the features."""

from __future__ import annotations

import torch
from torch import nn

from zoo.models.logistic import logistic_regression

CLASSES = 3


def blobs(count: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features [N, 5] around one center per class, and targets [N]."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(count) % CLASSES
    centers = 2 * torch.randn(CLASSES, 5, generator=generator)
    return centers[targets] + torch.randn(count, 5, generator=generator), targets


def test_separate_classes_are_told_apart() -> None:
    features, targets = blobs()
    weight, bias = logistic_regression(features, targets, CLASSES)
    assert (weight.shape, bias.shape, weight.requires_grad) == ((CLASSES, 5), (CLASSES,), False)
    assert ((features @ weight.T + bias).argmax(1) == targets).double().mean() > 0.9


def test_it_is_the_minimum_on_standardized_features() -> None:
    features, targets = blobs()
    weight, bias = logistic_regression(features, targets, CLASSES, penalty=0.1, steps=200)
    std, mean = features.std(0), features.mean(0)
    scaled = (weight * std).requires_grad_()
    offset = (bias + weight @ mean).requires_grad_()
    loss = nn.functional.cross_entropy((features - mean) / std @ scaled.T + offset, targets) + 0.05 * scaled.square().sum()
    loss.backward()
    assert scaled.grad is not None
    assert offset.grad is not None
    assert float(scaled.grad.abs().max()) < 1e-3
    assert float(offset.grad.abs().max()) < 1e-3


def test_scale_and_shift_of_the_features_change_no_prediction_and_constant_ones_do_no_harm() -> None:
    features, targets = blobs()
    other = torch.cat([features * 100 - 7, torch.full((len(features), 1), 5.0)], 1)
    plain, moved = (logistic_regression(each, targets, CLASSES) for each in (features, other))
    logits = [each @ weight.T + bias for each, (weight, bias) in ((features, plain), (other, moved))]
    assert torch.allclose(logits[0].softmax(1), logits[1].softmax(1), atol=1e-2)


def test_features_from_inference_mode_are_taken() -> None:
    with torch.inference_mode():
        features, targets = blobs()
    assert torch.isfinite(logistic_regression(features, targets, CLASSES)[0]).all()
