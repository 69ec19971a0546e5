"""The scores of a model on labeled images, as Python sees them and as a report writes them."""

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
    """A model that was scored.

    Attributes:
        model: as the user wrote it.
        data: the images: a folder, or the kind of a data set.
        split: the part of them that was scored; `all` for a folder without parts.
        tta: the views of each image whose probabilities were averaged: none (one view), hflip or five_crop.
        classes: the model's C classes.
        scores: the values of `test` in a run's `result.json`.
        files: the name of each of the N images that were scored.
        logits: float32 [N, C].
        targets: int64 [N].
        left_out: images of classes that the model does not know.
        unread: images that could not be read.
        notes: what is to be said of it, a line each.
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
        """The share of the images whose best class is theirs."""
        return self.scores.accuracy

    def values(self) -> dict[str, Any]:
        """Return plain values: those of `test` in `result.json`, and what was scored."""
        about = {"model": self.model, "data": self.data, "split": self.split, "tta": self.tta}
        counts = {"left_out": self.left_out, "unreadable": len(self.unread), "notes": list(self.notes)}
        return about | self.scores.model_dump() | counts
