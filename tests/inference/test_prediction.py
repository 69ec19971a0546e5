from __future__ import annotations

import pytest
import torch

from zoo.inference.prediction import Prediction, RowFormat, predict_from

CLASSES = ("cat", "dog", "error")
LOGITS = torch.tensor([0.1, 0.7, 0.2]).log()


def test_the_best_classes_come_first() -> None:
    prediction = predict_from(LOGITS, CLASSES, 2, "a.jpg")
    assert [label for label, _ in prediction.top] == ["dog", "error"]
    assert prediction.label == "dog"
    assert prediction.prob == pytest.approx(0.7)


def test_a_row_has_every_column() -> None:
    form = RowFormat(CLASSES, topk=5, probabilities=True)
    names = ["filename", "label", "prob", "label_2", "prob_2", "label_3", "prob_3"]
    assert form.columns == [*names, "prob:cat", "prob:dog", "prob:error", "error"]
    row = form.row(predict_from(LOGITS, CLASSES, 5, "a.jpg"))
    assert list(row) == form.columns
    assert (row["label"], row["label_3"], row["error"]) == ("dog", "cat", None)
    assert row["prob:error"] == pytest.approx(0.2)


def test_an_unsure_prediction_has_no_label_and_keeps_its_probability() -> None:
    row = RowFormat(CLASSES, min_confidence=0.8).row(predict_from(LOGITS, CLASSES, 1, "a.jpg"))
    assert row["label"] is None
    assert row["prob"] == pytest.approx(0.7)


def test_an_unreadable_image_has_its_error_alone() -> None:
    row = RowFormat(CLASSES, probabilities=True).row(Prediction("a.jpg", (), error="truncated"))
    assert {name: value for name, value in row.items() if value is not None} == {"filename": "a.jpg", "error": "truncated"}
    assert (Prediction("a", (), error="x").label, Prediction("a", (), error="x").prob) == ("", 0.0)
