from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.reports import scored
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from zoo import metrics
from zoo.report.analysis import (
    at_thresholds,
    confused_pairs,
    least_certain_hits,
    overconfidence,
    per_class,
    reliability,
    risk_coverage,
    worst_mistakes,
)
from zoo.report.scored import Scored


def of(labels: list[int], predicted: list[int], prob: list[float], label_prob: list[float]) -> Scored:
    files = [str(number) for number in range(len(labels))]
    return Scored("test", files, np.array(labels), np.array(predicted), np.array(prob), np.array(label_prob))


def test_the_worst_mistakes_are_those_whose_label_is_least_probable() -> None:
    some = of([0, 0, 1, 1, 1], [1, 0, 0, 0, 0], [0.9, 0.9, 0.6, 0.7, 0.7], [0.1, 0.9, 0.05, 0.1, 0.3])
    assert worst_mistakes(some).tolist() == [2, 0, 3, 4]
    many = scored(5, 500)
    found = worst_mistakes(many)
    assert sorted(found) == np.flatnonzero(many.labels != many.predicted).tolist()
    assert (np.diff(many.label_prob[found]) >= 0).all()


def test_swapped_labels_are_among_the_first_mistakes() -> None:
    """A simulated model, right on 75 % of 1,000 images, is unsure where it is wrong, but certain where labels are swapped."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 1000)
    logits = rng.normal(0, 1.2, (1000, 10))
    logits[np.arange(1000), labels] += rng.normal(3.2, 1.5, 1000)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert 0.75 < (shares.argmax(1) == labels).mean() < 0.9
    swapped = rng.choice(1000, 30, replace=False)
    labels[swapped] = (labels[swapped] + rng.integers(1, 10, 30)) % 10
    best, rows = shares.argmax(1), np.arange(1000)
    some = Scored("test", [*map(str, rows)], labels, best, shares.max(1), shares[rows, labels])
    assert len(set(worst_mistakes(some)[:60]) & set(swapped)) >= 20


def test_the_least_certain_hits_are_right_and_ascend() -> None:
    many = scored(5, 500)
    found = least_certain_hits(many)
    assert sorted([*found, *worst_mistakes(many)]) == [*range(500)]
    assert (np.diff(many.prob[found]) >= 0).all()


def test_pairs_are_the_cells_of_the_confusion_matrix() -> None:
    many = scored(4, 500)
    matrix = confusion_matrix(many.labels, many.predicted)
    pairs = confused_pairs(many, 100)
    assert len(pairs) == np.count_nonzero(matrix) - np.count_nonzero(np.diagonal(matrix))
    assert [pair.count for pair in pairs] == sorted((pair.count for pair in pairs), reverse=True)
    for pair in pairs:
        assert pair.count == matrix[pair.label, pair.predicted] == len(pair.positions)
        assert pair.total == matrix[pair.label].sum()
        assert (many.labels[pair.positions] == pair.label).all()
        assert (many.predicted[pair.positions] == pair.predicted).all()
        assert (np.diff(many.label_prob[pair.positions]) >= 0).all()
    assert confused_pairs(of([0, 1], [0, 1], [1, 1], [1, 1]), 5) == []


def test_scores_of_classes_are_scikit_learns() -> None:
    many = scored(6, 300)
    rows = per_class(many, 7)  # the last one has no images
    precision, recall, f1, count = precision_recall_fscore_support(many.labels, many.predicted)
    assert [row.recall for row in rows] == sorted(row.recall for row in rows)
    assert len(rows) == 6
    for row in rows:
        found = (row.precision, row.recall, row.f1, row.n)
        assert found == pytest.approx((precision[row.label], recall[row.label], f1[row.label], count[row.label]))
        assert (row.low, row.high) == metrics.interval(row.recall, row.n)


def test_bins_of_confidence_give_the_calibration_error() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(400, 3) * 2, torch.randint(0, 3, (400,))
    shares = logits.double().softmax(1)
    best = shares.argmax(1)
    some = Scored("test", [""] * 400, targets.numpy(), best.numpy(), shares.amax(1).numpy(), shares[range(400), targets].numpy())
    bins = reliability(some)
    assert sum(one.count for one in bins) == 400
    assert sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / 400 == pytest.approx(
        metrics.ece(logits, targets), abs=1e-6
    )
    assert all(one.low <= one.accuracy <= one.high for one in bins)


def test_risk_over_coverage_ends_at_the_share_of_mistakes_and_takes_equals_together() -> None:
    some = of([0, 0, 0, 1], [0, 1, 0, 0], [0.9, 0.5, 0.9, 0.5], [0.9, 0.5, 0.9, 0.5])
    coverage, risk = risk_coverage(some)
    assert coverage.tolist() == [0.5, 1.0]
    assert risk.tolist() == [0.0, 0.5]
    many = scored(5, 500)
    coverage, risk = risk_coverage(many)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(1 - many.hits.mean())


def test_thresholds_count_the_images_above_them() -> None:
    some = of([0, 0, 1], [0, 1, 1], [0.99, 0.9, 0.4], [0.99, 0.1, 0.4])
    by = {row.threshold: row for row in at_thresholds(some)}
    assert (by[0.9].count, by[0.9].coverage, by[0.9].accuracy) == (2, pytest.approx(2 / 3), 0.5)
    assert by[0.5].count == 2
    assert of([0], [0], [0.3], [0.3]).hits.all()
    assert at_thresholds(of([0], [0], [0.3], [0.3]))[-1].accuracy is None
    assert overconfidence(some) == pytest.approx((0.99 + 0.9 + 0.4) / 3 - 2 / 3)


def test_probabilities_that_are_no_numbers_break_nothing() -> None:
    some = of([0, 1], [0, 0], [float("nan"), 0.5], [float("nan"), float("nan")])
    assert worst_mistakes(some).tolist() == [1]
    assert [one.count for one in reliability(some)] == [1]
    assert risk_coverage(some)[1][-1] == 0.5
