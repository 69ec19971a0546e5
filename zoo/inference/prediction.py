"""The prediction of one image, as a Python object and as a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """The classes of one image.

    Attributes:
        filename: the image's path; '' if it has none.
        top: the best classes and their probabilities (0 to 1), best first; empty if the image cannot be read.
        probabilities: float32 [C], in the order of the model's classes; None if the image cannot be read.
        error: why the image cannot be read; '' if it can be read.
    """

    filename: str
    top: tuple[tuple[str, float], ...]
    probabilities: Tensor | None = field(default=None, repr=False)
    error: str = ""

    @property
    def label(self) -> str:
        """Return the best class; '' if the image cannot be read."""
        return self.top[0][0] if self.top else ""

    @property
    def prob(self) -> float:
        """Return the probability of the best class; 0 if the image cannot be read."""
        return self.top[0][1] if self.top else 0.0


def predict_from(logits: Tensor, classes: Sequence[str], topk: int, filename: str) -> Prediction:
    """Return the prediction for logits float32 [C]."""
    probabilities = logits.softmax(0)
    values, indices = probabilities.topk(min(topk, len(classes)))
    top = tuple((classes[int(index)], float(value)) for index, value in zip(indices, values, strict=True))
    return Prediction(filename, top, probabilities)


@dataclass(frozen=True)
class RowFormat:
    """The columns of a table of predictions.

    Attributes:
        classes: the model's classes.
        topk: number of best classes to name.
        probabilities: add a column with the probability of each class.
        min_confidence: probability below which no label is given.
    """

    classes: tuple[str, ...]
    topk: int = 1
    probabilities: bool = False
    min_confidence: float = 0.0

    @property
    def columns(self) -> list[str]:
        """Return the headings: timm's `filename, label, prob`, the next best classes, the probabilities, `error`."""
        more = [f"{name}_{rank}" for rank in range(2, min(self.topk, len(self.classes)) + 1) for name in ("label", "prob")]
        each = [f"prob:{name}" for name in self.classes] if self.probabilities else []
        return ["filename", "label", "prob", *more, *each, "error"]

    def row(self, prediction: Prediction) -> dict[str, Any]:
        """Return the values of one prediction by column; None for an empty cell."""
        row: dict[str, Any] = dict.fromkeys(self.columns)
        row["filename"], row["error"] = prediction.filename, prediction.error or None
        for rank, (label, prob) in enumerate(prediction.top, 1):
            ending = "" if rank == 1 else f"_{rank}"
            row[f"label{ending}"], row[f"prob{ending}"] = label, prob
        if prediction.top and prediction.prob < self.min_confidence:
            row["label"] = None
        if self.probabilities and prediction.probabilities is not None:
            values = prediction.probabilities.tolist()
            row |= {f"prob:{name}": value for name, value in zip(self.classes, values, strict=True)}
        return row
