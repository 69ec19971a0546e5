"""Score features by what simple classifiers make of them: logistic regression, and the nearest neighbors.

Both are scored on folds that they did not see. The penalty of the regression is chosen inside each training part, by nested
cross-validation (Varma and Simon 2006): a fit without two neighboring folds serves to choose for each by the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

# Weights of half the squared norm, beside the mean cross-entropy, on standardized features; strongest first.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
# Iterations of L-BFGS from one penalty to the next; each starts where the one before ended.
ITERATIONS = 8
# Iterations for the penalty that was chosen.
LAST_ITERATIONS = 25
# Directions of the features with less than this share of the largest variance are left out: they are rounding.
SMALLEST_VARIANCE = 1e-7
# A feature that is the same for all images is divided by this.
SMALLEST_STD = 1e-6
# Neighbors that vote.
NEIGHBORS = 10
# Images whose neighbors are looked up at a time.
CHUNK = 1024


@dataclass(frozen=True)
class Scores:
    """The worth of features.

    Attributes:
        folds: accuracy of the logistic regression on each fold.
        penalties: those chosen for the folds.
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
        fold: int64 [N], from 0 to at least 2, without gaps.
    """
    where, folds = torch.from_numpy(fold), int(fold.max()) + 1
    pairs = [(left, (left + 1) % folds) for left in range(folds)]
    basis = principal(features)
    fits = Fits(basis, targets, [~torch.isin(where, torch.tensor(pair)) for pair in pairs])
    hits = np.zeros((folds, len(PENALTIES)))
    for place, penalty in enumerate(PENALTIES):
        right = fits.fit([penalty] * len(pairs), ITERATIONS)  # [N, pairs]
        for number, (one, other) in enumerate(pairs):
            # Neither fold was seen: each serves to choose for the other.
            hits[one, place] += int(right[where == other, number].sum())
            hits[other, place] += int(right[where == one, number].sum())
    # Of equal ones the strongest.
    chosen = [PENALTIES[place] for place in hits.argmax(1)]
    last = Fits(basis, targets, [where != left for left in range(folds)]).fit(chosen, LAST_ITERATIONS)
    accuracies = [float(last[where == left, left].double().mean()) for left in range(folds)]
    return Scores(tuple(accuracies), tuple(chosen), nearest(features, targets, where))


# --------------------------------------------------------------------------- logistic regression


@dataclass(frozen=True)
class Basis:
    """Standardized features in the basis of their principal directions, which changes no penalized fit.

    Attributes:
        rotated: float32 [N, R].
        variances: float32 [R], of the directions.
    """

    rotated: Tensor
    variances: Tensor


def principal(features: Tensor) -> Basis:
    """Standardize features float32 [N, D] and turn them into their principal directions.

    Labels are not looked at, so that all folds may share it.
    """
    standardized = (features - features.mean(0)) / features.std(0).clamp(min=SMALLEST_STD)  # [N, D]
    count, width = standardized.shape
    if width <= count:
        variances, directions = torch.linalg.eigh((standardized.T @ standardized) / count)  # [D], [D, D]
        kept = variances > SMALLEST_VARIANCE * variances[-1]
        return Basis(standardized @ directions[:, kept], variances[kept])
    # Fewer images than features: the same from the products of images, [N, N].
    variances, directions = torch.linalg.eigh((standardized @ standardized.T) / count)
    kept = variances > SMALLEST_VARIANCE * variances[-1]
    return Basis(directions[:, kept] * (count * variances[kept]).sqrt(), variances[kept])


class Fits:
    """Several fits on parts of the same images at once, penalty after penalty, each from the last solution.

    One product for all fits is several times as fast as one for each. The loss curves along a direction by about its
    variance over the classes, plus the penalty: in steps of that size all directions look alike, and L-BFGS needs a tenth of
    the iterations.

    Args:
        basis: the images N.
        targets: int64 [N].
        trained: for each of the M fits its images, bool [N].
    """

    def __init__(self, basis: Basis, targets: Tensor, trained: Sequence[Tensor]) -> None:
        self.images, self.targets = basis.rotated, targets
        self.shares = torch.stack([part.float() / part.sum() for part in trained], dim=1)  # [N, M]
        classes = int(targets.max()) + 1
        self.curvature = basis.variances * ((classes - 1) / classes**2)  # [R]
        self.weight = torch.zeros(len(trained), classes, self.images.shape[1])  # [M, C, R]
        self.bias = torch.zeros(len(trained), classes)

    def fit(self, penalties: Sequence[float], iterations: int) -> Tensor:
        """Fit with a penalty for each; return which images each fit gets right, bool [N, M]."""
        penalty = torch.tensor(penalties).view(-1, 1, 1)
        scale = (self.curvature + penalty).rsqrt()  # [M, 1, R]
        weight = (self.weight / scale).requires_grad_(True)
        bias = self.bias.clone().requires_grad_(True)
        solver = torch.optim.LBFGS([weight, bias], max_iter=iterations, history_size=10, line_search_fn="strong_wolfe")
        own = self.targets.view(-1, 1, 1).expand(-1, len(penalties), 1)

        def closure() -> Tensor:
            """Return the sum of the fits' losses with its gradients, as the solver asks for them."""
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
    """Return the accuracy of the nearest neighbors in other folds, which vote by their cosine similarity.

    Args:
        features: float32 [N, D].
        targets: int64 [N].
        fold: int64 [N].
        count: neighbors that vote.
    """
    unit = nn.functional.normalize(features - features.mean(0))  # [N, D]
    classes, hits = int(targets.max()) + 1, 0
    for start in range(0, len(unit), CHUNK):
        rows = slice(start, start + CHUNK)
        similar = unit[rows] @ unit.T  # [M, N]
        similar.masked_fill_(fold[rows].unsqueeze(1) == fold, -torch.inf)
        weight, place = similar.topk(min(count, len(unit)), dim=1)  # [M, K]
        # Similarities from -1 to 1 become weights from 0 to 1; an image of the same fold has none.
        votes = torch.zeros(len(weight), classes).scatter_add_(1, targets[place], ((1 + weight) / 2).clamp(min=0))
        hits += int((votes.argmax(1) == targets[rows]).sum())
    return hits / len(unit)
