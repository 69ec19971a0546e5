"""Score features by the accuracy of simple classifiers: logistic regression and nearest neighbors.

Both are scored on held-out folds. The penalty of the regression is chosen by nested cross-validation (Varma and Simon 2006):
each fit leaves out two neighboring folds, and its accuracy on either fold helps to choose the penalty for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

# Candidate penalties, strongest first: the loss is the mean cross-entropy plus the penalty times half the squared norm of the
# weights, on standardized features.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
# L-BFGS iterations per penalty; each fit starts from the solution of the previous penalty.
ITERATIONS = 8
# L-BFGS iterations for the chosen penalty.
LAST_ITERATIONS = 25
# Principal directions with less than this share of the largest variance are dropped as rounding errors.
SMALLEST_VARIANCE = 1e-7
# Minimum divisor in standardization, for features that are the same for all images.
SMALLEST_STD = 1e-6
# Number of neighbors that vote.
NEIGHBORS = 10
# Number of images whose neighbors are searched at a time.
CHUNK = 1024


@dataclass(frozen=True)
class Scores:
    """The scores of features.

    Attributes:
        folds: accuracy of the logistic regression on each fold.
        penalties: the penalty chosen for each fold.
        knn: accuracy of the nearest neighbors on all images.
    """

    folds: tuple[float, ...]
    penalties: tuple[float, ...]
    knn: float


def probe(features: Tensor, targets: Tensor, fold: np.ndarray) -> Scores:
    """Score features on folds.

    Args:
        features: float32 [N, D].
        targets: int64 [N].
        fold: int64 [N], numbered from 0 without gaps, at least three folds.
    """
    where, folds = torch.from_numpy(fold), int(fold.max()) + 1
    pairs = [(left, (left + 1) % folds) for left in range(folds)]
    basis = principal(features)
    fits = Fits(basis, targets, [~torch.isin(where, torch.tensor(pair)) for pair in pairs])
    hits = np.zeros((folds, len(PENALTIES)))
    for place, penalty in enumerate(PENALTIES):
        right = fits.fit([penalty] * len(pairs), ITERATIONS)  # [N, pairs]
        for number, (one, other) in enumerate(pairs):
            # Neither fold was trained on: the accuracy on one chooses the penalty for the other.
            hits[one, place] += int(right[where == other, number].sum())
            hits[other, place] += int(right[where == one, number].sum())
    # On a tie, argmax takes the strongest penalty.
    chosen = [PENALTIES[place] for place in hits.argmax(1)]
    last = Fits(basis, targets, [where != left for left in range(folds)]).fit(chosen, LAST_ITERATIONS)
    accuracies = [float(last[where == left, left].double().mean()) for left in range(folds)]
    return Scores(tuple(accuracies), tuple(chosen), nearest(features, targets, where))


# --------------------------------------------------------------------------- logistic regression


@dataclass(frozen=True)
class Basis:
    """Standardized features in the basis of their principal directions. Penalized fits are the same in this basis.

    Attributes:
        rotated: rotated features, float32 [N, R].
        variances: variances of the directions, float32 [R].
    """

    rotated: Tensor
    variances: Tensor


def principal(features: Tensor) -> Basis:
    """Standardize features float32 [N, D] and rotate them to their principal directions.

    Labels are not used, so all folds can share the result.
    """
    standardized = (features - features.mean(0)) / features.std(0).clamp(min=SMALLEST_STD)  # [N, D]
    count, width = standardized.shape
    if width <= count:
        variances, directions = torch.linalg.eigh((standardized.T @ standardized) / count)  # [D], [D, D]
        kept = variances > SMALLEST_VARIANCE * variances[-1]
        return Basis(standardized @ directions[:, kept], variances[kept])
    # Fewer images than features: compute the same from the Gram matrix of the images, [N, N].
    variances, directions = torch.linalg.eigh((standardized @ standardized.T) / count)
    kept = variances > SMALLEST_VARIANCE * variances[-1]
    return Basis(directions[:, kept] * (count * variances[kept]).sqrt(), variances[kept])


class Fits:
    """Several simultaneous fits on parts of the same images. Each call of `fit` starts from the previous solution.

    One matrix product for all fits is several times as fast as one per fit. The curvature of the loss along a direction is
    about its variance divided by the number of classes, plus the penalty. With weights scaled accordingly, all directions
    have a similar curvature, and L-BFGS needs a tenth of the iterations.

    Args:
        basis: features of the N images.
        targets: int64 [N].
        trained: for each of the M fits, which images it trains on, bool [N].
    """

    def __init__(self, basis: Basis, targets: Tensor, trained: Sequence[Tensor]) -> None:
        self.images, self.targets = basis.rotated, targets
        self.shares = torch.stack([part.float() / part.sum() for part in trained], dim=1)  # [N, M]
        classes = int(targets.max()) + 1
        self.curvature = basis.variances * ((classes - 1) / classes**2)  # [R]
        self.weight = torch.zeros(len(trained), classes, self.images.shape[1])  # [M, C, R]
        self.bias = torch.zeros(len(trained), classes)

    def fit(self, penalties: Sequence[float], iterations: int) -> Tensor:
        """Run the fits with one penalty each; return whether each fit classifies each image correctly, bool [N, M]."""
        penalty = torch.tensor(penalties).view(-1, 1, 1)
        scale = (self.curvature + penalty).rsqrt()  # [M, 1, R]
        weight = (self.weight / scale).requires_grad_(True)
        bias = self.bias.clone().requires_grad_(True)
        solver = torch.optim.LBFGS([weight, bias], max_iter=iterations, history_size=10, line_search_fn="strong_wolfe")
        own = self.targets.view(-1, 1, 1).expand(-1, len(penalties), 1)

        def closure() -> Tensor:
            """Return the sum of the fits' losses and compute its gradients, as L-BFGS requires."""
            solver.zero_grad()
            plain = weight * scale
            logits = self._logits(plain, bias)
            losses = logits.logsumexp(2) - logits.gather(2, own).squeeze(2)  # [N, M]
            loss = (losses * self.shares).sum() + (penalty / 2 * plain.square()).sum()
            loss.backward()
            return loss

        solver.step(closure)  # type: ignore[arg-type]
        self.weight, self.bias = (weight * scale).detach(), bias.detach()
        return self._logits(self.weight, self.bias).argmax(2) == self.targets.unsqueeze(1)

    def _logits(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the logits [N, M, C] of all fits."""
        return (self.images @ weight.flatten(0, 1).T).unflatten(1, bias.shape) + bias


# ----------------------------------------------------------------------------------- neighbors


@torch.no_grad()
def nearest(features: Tensor, targets: Tensor, fold: Tensor, count: int = NEIGHBORS) -> float:
    """Return the accuracy of a vote of the nearest neighbors in other folds, weighted by their cosine similarity.

    Args:
        features: float32 [N, D].
        targets: int64 [N].
        fold: int64 [N].
        count: number of neighbors that vote.
    """
    unit = nn.functional.normalize(features - features.mean(0))  # [N, D]
    classes, hits = int(targets.max()) + 1, 0
    for start in range(0, len(unit), CHUNK):
        rows = slice(start, start + CHUNK)
        similar = unit[rows] @ unit.T  # [M, N]
        similar.masked_fill_(fold[rows].unsqueeze(1) == fold, -torch.inf)
        weight, place = similar.topk(min(count, len(unit)), dim=1)  # [M, K]
        # Similarities from -1 to 1 become weights from 0 to 1; images of the same fold get weight 0.
        votes = torch.zeros(len(weight), classes).scatter_add_(1, targets[place], ((1 + weight) / 2).clamp(min=0))
        hits += int((votes.argmax(1) == targets[rows]).sum())
    return hits / len(unit)
