"""Multinomial logistic regression on frozen features."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def logistic_regression(
    features: Tensor, targets: Tensor, classes: int, *, penalty: float = 1e-3, steps: int = 60
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS, on standardized features.

    Args:
        features: float32 [N, D].
        targets: int64 [N].
        classes: number of classes C.
        penalty: weight of half the squared norm of the weights.
        steps: most iterations.

    Returns:
        weight [C, D] and bias [C] for features as they are.
    """
    features, targets = features.clone(), targets.clone()  # out of inference mode
    mean, std = features.mean(0), features.std(0).clamp(min=1e-6)
    scaled = (features - mean) / std
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = nn.functional.cross_entropy(scaled @ weight.T + bias, targets) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        plain = weight / std
        return plain, bias - plain @ mean
