"""An evaluation as plain values."""

from __future__ import annotations

import json

import torch

from zoo.inference.evaluation import Evaluation, Unread
from zoo.training.result import test_scores as scores_of

LOGITS, TARGETS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 1, 0])


def test_values_are_those_of_result_json_and_what_was_scored() -> None:
    scores = scores_of(("a", "b"), LOGITS, TARGETS)
    unread = (Unread("x.png", "a", "empty file"),)
    found = Evaluation(
        "m", "photos", "test", "none", ("a", "b"), scores, ["1", "2", "3"], LOGITS, TARGETS, 4, unread, ("a note",)
    )
    values = found.values()
    assert {name: values[name] for name in scores.model_dump()} == scores.model_dump()
    assert {name: values[name] for name in values if name not in scores.model_dump()} == {
        "model": "m", "data": "photos", "split": "test", "tta": "none", "left_out": 4, "unreadable": 1, "notes": ["a note"],
    }  # fmt: skip
    assert json.loads(json.dumps(values))["accuracy"] == found.accuracy == 2 / 3
