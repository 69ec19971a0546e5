"""The scores of a model on labeled images, as Python objects and as values of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zoo.results.result import TestScores


@dataclass(frozen=True)
class Unread:
    """An image that could not be read: its name, its class, and why."""

    file: str
    label: str
    error: str


@dataclass(frozen=True)
class Evaluation:
    """The result of scoring a model.

    Attributes:
        model: as the user wrote it.
        data: the images: a folder, or the kind of a data set.
        split: the split that was scored; `all` for a folder without splits.
        tta: the views of each image whose probabilities were averaged: none (one view), hflip or five_crop.
        classes: the model's C classes.
        scores: the scores, as under `test` in a run's `result.json`.
        files: the names of the N images that were scored.
        logits: float32 [N, C].
        targets: int64 [N].
        left_out: number of images of classes that the model does not know.
        unread: images that could not be read.
        notes: remarks for the user, one line each.
    """

    model: str
    data: str
    split: str
    tta: str
    classes: tuple[str, ...]
    scores: TestScores
    files: Sequence[str]
    logits: Tensor
    targets: Tensor
    left_out: int = 0
    unread: tuple[Unread, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        """Return the fraction of images that were classified correctly."""
        return self.scores.accuracy

    def values(self) -> dict[str, Any]:
        """Return plain values: the scores as under `test` in `result.json`, and a description of what was scored."""
        about = {"model": self.model, "data": self.data, "split": self.split, "tta": self.tta}
        counts = {"left_out": self.left_out, "unreadable": len(self.unread), "notes": list(self.notes)}
        return about | self.scores.model_dump() | counts
