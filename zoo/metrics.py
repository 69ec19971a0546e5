"""Metrics: pure functions of logits float32 [N, C] and targets int64 [N].

Each function in `METRICS` appears in metrics.jsonl, in result.json and among the choices of `eval.select_by`. A new metric is
one function and one line in `METRICS`. Only methods of tensors are used, so that the names are known without importing torch.

Letters in shapes: N images, C classes, B bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Number of confidence bins in the calibration error, as in Guo et al. 2017.
BINS = 15
# Number of largest logits among which the true class may be for top5.
TOP = 5
# Quantile of the normal distribution for an interval of 95 %.
Z_95 = 1.959963984540054


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Return the share of images whose largest logit belongs to the true class."""
    return int((logits.argmax(1) == targets).sum()) / len(targets)


def loss(logits: Tensor, targets: Tensor) -> float:
    """Return the mean cross-entropy in nats, without label smoothing or class weights."""
    picked = logits.gather(1, targets.unsqueeze(1)).squeeze(1)  # [N]
    return float((logits.logsumexp(1) - picked).double().mean())


def top5(logits: Tensor, targets: Tensor) -> float:
    """Return the share of images whose class is among the five largest logits; 1 where there are at most five classes."""
    best = logits.topk(min(TOP, logits.shape[1]), dim=1).indices  # [N, 5]
    return int((best == targets.unsqueeze(1)).any(1).sum()) / len(targets)


def confusion(logits: Tensor, targets: Tensor) -> Tensor:
    """Return counts int64 [C, C]: the row is the true class, the column the predicted one."""
    classes = logits.shape[1]
    return (targets * classes + logits.argmax(1)).bincount(minlength=classes * classes).view(classes, classes)


def per_class(logits: Tensor, targets: Tensor) -> list[dict[str, float | int | None]]:
    """Return precision, recall, F1 and number of images of each class; a score is None if it would be divided by 0."""
    classes, guesses = logits.shape[1], logits.argmax(1)
    # The confusion matrix would take too much memory for tens of thousands of classes. Each count is [C].
    counts = (labels.bincount(minlength=classes).tolist() for labels in (targets[guesses == targets], guesses, targets))
    return [
        {
            "precision": hit / predicted if predicted else None,
            "recall": hit / true if true else None,
            "f1": 2 * hit / (predicted + true) if predicted + true else None,
            "n": true,
        }
        for hit, predicted, true in zip(*counts, strict=True)
    ]


def macro_f1(logits: Tensor, targets: Tensor) -> float:
    """Return the mean F1 of the classes that occur in the targets or the predictions."""
    scores = [row["f1"] for row in per_class(logits, targets) if row["f1"] is not None]
    return sum(scores) / len(scores)


def ece(logits: Tensor, targets: Tensor) -> float:
    """Return the expected calibration error over `BINS` bins of confidence (Guo et al. 2017); NaN if a logit is not finite."""
    confidence, predicted = logits.softmax(1).max(1)  # [N], [N]
    if not confidence.isfinite().all():
        return math.nan
    hit = (predicted == targets).double()
    bins = (confidence * BINS).long().clamp(max=BINS - 1)  # [N]
    # The sum of confidence minus accuracy in each bin, [B].
    sums = (confidence.double() - hit).new_zeros(BINS).index_add(0, bins, confidence.double() - hit)
    return float(sums.abs().sum() / len(targets))


METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "loss": loss,
    "accuracy": accuracy,
    "top5": top5,
    "macro_f1": macro_f1,
    "ece": ece,
}
# Metrics for which lower is better; for all others higher is.
LOWER_IS_BETTER = ("loss", "ece")


def merit(key: str, value: float) -> float:
    """Return the value of a metric such as `val.loss`, negated where lower is better; NaN becomes the worst of all."""
    if math.isnan(value):
        return -math.inf
    return -value if key.rpartition(".")[2] in LOWER_IS_BETTER else value


def interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval (low, high) of a share that was measured on `count` images (Wilson 1927)."""
    z = Z_95
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # Rounding may lead slightly beyond 0 and 1.
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
