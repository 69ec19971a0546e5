"""Fit multinomial logistic regression on frozen features: a linear probe."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Lower limit of the standard deviation that features are divided by, for features that are the same for all images.
SMALLEST_STD = 1e-6


def logistic_regression(
    features: Tensor, targets: Tensor, classes: int, *, penalty: float = 1e-3, steps: int = 60
) -> tuple[Tensor, Tensor]:
    """Fit multinomial logistic regression by L-BFGS on standardized features.

    Args:
        features: float32 [N, D].
        targets: int64 [N].
        classes: number of classes C.
        penalty: L2 penalty, as a factor of half the squared norm of the weights.
        steps: maximum number of iterations.

    Returns:
        weight float32 [C, D] and bias float32 [C], to be used on features that are not standardized.
    """
    features = features.clone()  # [N, D]; a clone is no inference tensor, so autograd accepts it
    targets = targets.clone()  # [N]
    mean = features.mean(0)  # [D]
    std = features.std(0).clamp(min=SMALLEST_STD)  # [D]
    standardized = (features - mean) / std  # [N, D]
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        """Return the loss with its gradients, as the solver asks for them."""
        solver.zero_grad()
        logits = standardized @ weight.T + bias  # [N, C]
        loss = nn.functional.cross_entropy(logits, targets) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        unscaled = weight / std  # [C, D]
        return unscaled, bias - unscaled @ mean  # [C, D], [C]
