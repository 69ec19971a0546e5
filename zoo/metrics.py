"""Metrics: pure functions of logits float32 [N, C] and targets int64 [N].

What is in `METRICS` is in the epoch rows, in `result.json` and among the choices of `eval.select_by`.
Only tensor methods are used: the names are known without importing torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BINS = 15


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Share of images whose largest logit is that of their class."""
    return int((logits.argmax(1) == targets).sum()) / len(targets)


def loss(logits: Tensor, targets: Tensor) -> float:
    """Mean cross-entropy in nats, without label smoothing or class weights."""
    picked = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    return float((logits.logsumexp(1) - picked).double().mean())


def top5(logits: Tensor, targets: Tensor) -> float:
    """Share of images whose class is among the five largest logits (all of them where there are fewer)."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return int((best == targets.unsqueeze(1)).any(1).sum()) / len(targets)


def confusion(logits: Tensor, targets: Tensor) -> Tensor:
    """Counts int64 [C, C]: the row is the true class, the column the predicted one."""
    classes = logits.shape[1]
    return (targets * classes + logits.argmax(1)).bincount(minlength=classes * classes).view(classes, classes)


def per_class(logits: Tensor, targets: Tensor) -> list[dict[str, float | int | None]]:
    """Precision, recall, F1 and number of images of each class; None where there is nothing to divide by."""
    matrix = confusion(logits, targets)
    rows = zip(matrix.diagonal().tolist(), matrix.sum(0).tolist(), matrix.sum(1).tolist(), strict=True)
    return [
        {
            "precision": hit / said if said else None,
            "recall": hit / true if true else None,
            "f1": 2 * hit / (said + true) if said + true else None,
            "n": true,
        }
        for hit, said, true in rows
    ]


def macro_f1(logits: Tensor, targets: Tensor) -> float:
    """Mean F1 of the classes that occur in the targets or the predictions."""
    scores = [row["f1"] for row in per_class(logits, targets) if row["f1"] is not None]
    return sum(scores) / len(scores)


def ece(logits: Tensor, targets: Tensor) -> float:
    """Expected calibration error over 15 bins of confidence (Guo et al. 2017)."""
    confidence, predicted = logits.softmax(1).max(1)
    if not confidence.isfinite().all():
        return math.nan
    hit = (predicted == targets).double()
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    sums = (confidence.double() - hit).new_zeros(BINS).index_add(0, bins, confidence.double() - hit)
    return float(sums.abs().sum() / len(targets))


METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "loss": loss,
    "accuracy": accuracy,
    "top5": top5,
    "macro_f1": macro_f1,
    "ece": ece,
}
# Metrics of which less is better.
LOWER_IS_BETTER = ("loss", "ece")


def merit(key: str, value: float) -> float:
    """A value of a metric such as `val.loss`, turned so that more is better; one that is not a number is worst."""
    if math.isnan(value):
        return -math.inf
    return -value if key.rpartition(".")[2] in LOWER_IS_BETTER else value


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share of so many images (Wilson 1927)."""
    z = 1.959964
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return (middle - spread) / scale, (middle + spread) / scale
