from __future__ import annotations

import math

import pytest
import sklearn.metrics
import torch

from zoo.metrics import METRICS, confusion, interval, merit, per_class


@pytest.fixture
def scored() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 6, generator=generator) * 2
    targets = torch.randint(0, 5, (500,), generator=generator)  # the last class never occurs
    logits[torch.arange(500), targets] += 1.5
    return logits, targets


def test_they_agree_with_scikit_learn(scored: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, targets = scored
    predicted = logits.argmax(1)
    probabilities = logits.double().softmax(1).numpy()
    values = {name: metric(logits, targets) for name, metric in METRICS.items()}
    assert values["accuracy"] == sklearn.metrics.accuracy_score(targets, predicted)
    assert values["loss"] == pytest.approx(sklearn.metrics.log_loss(targets, probabilities, labels=range(6)))
    assert values["top5"] == pytest.approx(sklearn.metrics.top_k_accuracy_score(targets, probabilities, k=5, labels=range(6)))
    assert values["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(targets, predicted, average="macro"))
    assert confusion(logits, targets).tolist() == sklearn.metrics.confusion_matrix(targets, predicted, labels=range(6)).tolist()
    rows = per_class(logits, targets)
    recall = sklearn.metrics.recall_score(targets, predicted, average=None, labels=range(5))
    assert [row["recall"] for row in rows[:5]] == pytest.approx(recall)
    assert (rows[5]["recall"], rows[5]["n"]) == (None, 0)


def test_calibration_error_by_hand() -> None:
    # Confidences 0.9 and 0.6, both right: bins 13 and 8 (or 9) are off by 0.1 and 0.4, each with half of the images.
    logits = torch.tensor([[math.log(9.0), 0.0], [math.log(1.5), 0.0]])
    assert METRICS["ece"](logits, torch.tensor([0, 0])) == pytest.approx((0.1 + 0.4) / 2, abs=1e-6)
    assert METRICS["ece"](logits * 100, torch.tensor([0, 0])) == pytest.approx(0, abs=1e-6)


def test_the_interval_is_wilson_s() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
    assert interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert interval(1.0, 100)[1] == pytest.approx(1.0)


def test_an_interval_stays_within_0_and_1() -> None:
    for count in range(1, 3000):
        assert interval(0.0, count)[0] >= 0
        assert interval(1.0, count)[1] <= 1


def test_many_classes_need_no_matrix_of_them_all() -> None:
    """The matrix of 300,000 classes would have 720 GB."""
    logits = torch.zeros(2, 300_000)
    logits[0, 7] = 1.0
    rows = per_class(logits, torch.tensor([7, 9]))
    assert (rows[7]["recall"], rows[9]["recall"], rows[0]["precision"], rows[9]["n"]) == (1.0, 0.0, 0.0, 1)


def test_two_classes_have_a_top_five() -> None:
    assert METRICS["top5"](torch.zeros(3, 2), torch.tensor([0, 1, 1])) == 1.0


def test_logits_that_are_not_finite_are_scored_as_not_a_number() -> None:
    logits = torch.tensor([[1.0, float("nan")], [2.0, 0.0]])
    scores = {name: metric(logits, torch.tensor([0, 0])) for name, metric in METRICS.items()}
    assert math.isnan(scores["loss"])
    assert math.isnan(scores["ece"])


def test_a_value_that_is_not_a_number_is_never_best() -> None:
    values = [float("nan"), 0.5, 0.7, 0.6]
    assert max(values, key=lambda value: merit("val.accuracy", value)) == 0.7
    assert max(values, key=lambda value: merit("val.loss", value)) == 0.5
