"""Find in predictions a model's mistakes, its doubts, its weak classes and its confidence. Pure functions of `Scored`.

Letters in shapes: N images, C classes, n of a selection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.metrics import BINS, interval
from zoo.report.scored import Scored

# Probabilities at which the page says how many images are at least that certain, and how many of them are right.
THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def worst_mistakes(scored: Scored) -> np.ndarray:
    """Return the positions of the images that are wrong, int64 [n], the least probable label first.

    That is how certain the model is of another class than the label: where labels are wrong, they come first.
    """
    wrong = np.flatnonzero(~scored.hits)
    return wrong[np.lexsort((wrong, -scored.prob[wrong], scored.label_prob[wrong]))]


def least_certain_hits(scored: Scored) -> np.ndarray:
    """Return the positions of the images that are right, int64 [n], the least probable first."""
    right = np.flatnonzero(scored.hits)
    return right[np.lexsort((right, scored.prob[right]))]


@dataclass(frozen=True)
class Pair:
    """Images of one class that are taken for another.

    Attributes:
        label, predicted: the classes.
        count: the images.
        total: of so many images of the class.
        positions: int64 [count] of the images, the worst mistake first.
    """

    label: int
    predicted: int
    count: int
    total: int
    positions: np.ndarray


def confused_pairs(scored: Scored, count: int) -> list[Pair]:
    """Return the pairs of classes that are confused most often; of equal counts, those with fewer images of the class."""
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
    """A class: its images, how many of them are found, and what else is taken for it.

    Attributes:
        label: its position.
        n, hits, predicted: its images, those that are right, and all images that the model takes for it.
        recall: the share of its images that are right, with its 95 % interval (Wilson 1927).
        precision, f1: None where there is nothing to divide by.
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
    """Return a row for each class that has images, the lowest recall first; of equal ones, the one with more images."""
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
    """Images whose predicted class has a probability in one of `BINS` ranges of equal width.

    Attributes:
        count: the images.
        confidence: their mean probability.
        accuracy: the share that is right, with its 95 % interval (Wilson 1927).
    """

    count: int
    confidence: float
    accuracy: float
    low: float
    high: float


def reliability(scored: Scored) -> list[Bin]:
    """Return the bins of confidence that have images, ascending (Guo et al. 2017)."""
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
    """Return shares of the images, ascending, and the share of mistakes among so many of the most certain ones.

    Images of equal probability come in or stay out together.

    Returns:
        Two arrays float64 [n], n at most N.
    """
    prob = np.nan_to_num(scored.prob, nan=0.0)
    order = np.argsort(-prob, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(prob[order]) != 0, True))  # [n]
    taken = ends + 1
    return taken / len(order), np.cumsum(~scored.hits[order])[ends] / taken


@dataclass(frozen=True)
class Certain:
    """The images of which the model is at least so certain.

    Attributes:
        threshold: least probability of the predicted class.
        count: the images.
        coverage: their share of all.
        accuracy: the share of them that is right; None where there are none.
    """

    threshold: float
    count: int
    coverage: float
    accuracy: float | None


def at_thresholds(scored: Scored) -> list[Certain]:
    """Return how many images the model is certain of, and how many of these are right, for each of `THRESHOLDS`."""
    rows = []
    for threshold in THRESHOLDS:
        taken = scored.prob >= threshold
        count = int(taken.sum())
        accuracy = float(scored.hits[taken].mean()) if count else None
        rows.append(Certain(threshold, count, count / len(scored), accuracy))
    return rows


def overconfidence(scored: Scored) -> float:
    """Return by how much the mean probability of the predicted class exceeds the share that is right."""
    return float(scored.prob.mean() - scored.hits.mean())
