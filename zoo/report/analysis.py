"""Analyze predictions: mistakes, uncertain hits, weak classes and calibration. Pure functions of `Scored`.

Letters in shapes: N images, C classes, n selected items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.metrics import BINS, interval
from zoo.report.scored import Scored

# Probability thresholds at which the page shows coverage and accuracy.
THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def worst_mistakes(scored: Scored) -> np.ndarray:
    """Return the positions of the misclassified images, int64 [n], the one with the least probable label first.

    Images with wrong labels tend to come first, because the model is certain of another class.
    """
    wrong = np.flatnonzero(~scored.hits)
    return wrong[np.lexsort((wrong, -scored.prob[wrong], scored.label_prob[wrong]))]


def least_certain_hits(scored: Scored) -> np.ndarray:
    """Return the positions of the correctly classified images, int64 [n], the least certain first."""
    right = np.flatnonzero(scored.hits)
    return right[np.lexsort((right, scored.prob[right]))]


@dataclass(frozen=True)
class Pair:
    """The images of one class that are misclassified as another class.

    Attributes:
        label, predicted: the true class and the predicted class.
        count: number of these images.
        total: number of all images of the true class.
        positions: positions of these images, int64 [count], the worst mistake first.
    """

    label: int
    predicted: int
    count: int
    total: int
    positions: np.ndarray


def confused_pairs(scored: Scored, count: int) -> list[Pair]:
    """Return the `count` most confused pairs of classes; among equal counts, pairs with fewer images of the class come first."""
    wrong = worst_mistakes(scored)
    pairs, inverse, counts = np.unique(
        np.stack([scored.labels[wrong], scored.predicted[wrong]]), axis=1, return_inverse=True, return_counts=True
    )
    totals = np.bincount(scored.labels)
    inverse = inverse.reshape(-1)
    order = np.lexsort((totals[pairs[0]], -counts))[:count]
    return [
        Pair(int(label), int(predicted), int(counts[row]), int(totals[label]), wrong[inverse == row])
        for row, (label, predicted) in zip(order, pairs[:, order].T, strict=True)
    ]


@dataclass(frozen=True)
class ClassRow:
    """The scores of one class.

    Attributes:
        label: index of the class.
        n, hits, predicted: number of images of the class, of those classified correctly, and of all images predicted as it.
        recall: `hits / n`.
        low, high: 95 % interval of the recall (Wilson 1927).
        precision: `hits / predicted`; None if nothing is predicted as this class.
        f1: F1 score.
    """

    label: int
    n: int
    hits: int
    predicted: int
    recall: float
    low: float
    high: float
    precision: float | None
    f1: float


def per_class(scored: Scored, classes: int) -> list[ClassRow]:
    """Return a row for each class that has images, the lowest recall first; among equal recalls, more images first."""
    hits = np.bincount(scored.labels[scored.hits], minlength=classes)
    images = np.bincount(scored.labels, minlength=classes)
    predicted = np.bincount(scored.predicted, minlength=classes)
    counts = zip(images.tolist(), hits.tolist(), predicted.tolist(), strict=True)
    rows = [_class_row(label, *three) for label, three in enumerate(counts) if three[0]]
    return sorted(rows, key=lambda row: (row.recall, -row.n, row.label))


def _class_row(label: int, n: int, hits: int, predicted: int) -> ClassRow:
    low, high = interval(hits / n, n)
    precision = hits / predicted if predicted else None
    return ClassRow(label, n, hits, predicted, hits / n, low, high, precision, 2 * hits / (n + predicted))


@dataclass(frozen=True)
class Bin:
    """The images whose predicted probability is in one of `BINS` ranges of equal width.

    Attributes:
        count: number of images.
        confidence: mean probability of their predicted classes.
        accuracy: share of them that is classified correctly.
        low, high: 95 % interval of the accuracy (Wilson 1927).
    """

    count: int
    confidence: float
    accuracy: float
    low: float
    high: float


def reliability(scored: Scored) -> list[Bin]:
    """Return the non-empty confidence bins of a reliability diagram, ascending (Guo et al. 2017)."""
    certain = np.isfinite(scored.prob)
    prob, hits = scored.prob[certain], scored.hits[certain]
    places = np.minimum((prob * BINS).astype(np.int64), BINS - 1)  # [N]
    found = []
    for place in np.unique(places):
        inside = places == place
        count, accuracy = int(inside.sum()), float(hits[inside].mean())
        found.append(Bin(count, float(prob[inside].mean()), accuracy, *interval(accuracy, count)))
    return found


def risk_coverage(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Return the risk-coverage curve: the share of mistakes among the most certain images, for growing shares of images.

    Images of equal probability are added together.

    Returns:
        Coverage and risk, float64 [n] each, ascending in coverage; n is at most N.
    """
    prob = np.nan_to_num(scored.prob, nan=0.0)
    order = np.argsort(-prob, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(prob[order]) != 0, True))  # [n]
    taken = ends + 1
    return taken / len(order), np.cumsum(~scored.hits[order])[ends] / taken


@dataclass(frozen=True)
class Certain:
    """The images of which the model is at least as certain as a threshold.

    Attributes:
        threshold: minimum probability of the predicted class.
        count: number of these images.
        coverage: their share of all images.
        accuracy: share of them that is classified correctly; None if there are none.
    """

    threshold: float
    count: int
    coverage: float
    accuracy: float | None


def at_thresholds(scored: Scored) -> list[Certain]:
    """Return coverage and accuracy at each of `THRESHOLDS`."""
    rows = []
    for threshold in THRESHOLDS:
        taken = scored.prob >= threshold
        count = int(taken.sum())
        accuracy = float(scored.hits[taken].mean()) if count else None
        rows.append(Certain(threshold, count, count / len(scored), accuracy))
    return rows


def overconfidence(scored: Scored) -> float:
    """Return the mean probability of the predicted class minus the accuracy."""
    return float(scored.prob.mean() - scored.hits.mean())
