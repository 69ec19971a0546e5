"""`predictions.csv`: the prediction for each image, by file name. Only tensor methods are used, so torch is not imported."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.system.table import csv_writer

if TYPE_CHECKING:
    from torch import Tensor

# Name of the file in a run folder.
PREDICTIONS = "predictions.csv"
# The file beside it with logits and targets as tensors.
TENSORS = "predictions.safetensors"
# Maximum length of a cell that is read; file paths have at most 4,096 bytes.
LONGEST_CELL = 1 << 20
HEADER = ("split", "file", "label", "predicted", "prob", "correct", "label_prob")


@dataclass(frozen=True)
class Predicted:
    """A model's predictions for a split.

    Attributes:
        split: name of the split.
        files: names of the N images.
        logits: float32 [N, C].
        targets: int64 [N].
    """

    split: str
    files: Sequence[str]
    logits: Tensor
    targets: Tensor

    def rows(self, classes: Sequence[str]) -> Iterator[tuple[str | int, ...]]:
        """Yield a row with the columns of `HEADER` for each image, in the order of the split.

        Args:
            classes: names of the C classes.
        """
        shares = self.logits.softmax(1)  # [N, C]
        best = shares.max(1)
        prob, predicted, targets = best.values.tolist(), best.indices.tolist(), self.targets.tolist()
        own = shares.gather(1, self.targets.unsqueeze(1)).squeeze(1).tolist()
        for place, file in enumerate(self.files):
            label, guess = int(targets[place]), int(predicted[place])
            likely, of_label = number(prob[place]), number(own[place])
            yield self.split, file, classes[label], classes[guess], likely, int(label == guess), of_label


def read_rows(path: Path) -> Iterator[list[str]]:
    """Yield the cells of each row of a `predictions.csv`, in the order of `HEADER`; additional columns are left out.

    Raises:
        OSError, ValueError, csv.Error: the file cannot be read, or has another header.
    """
    csv.field_size_limit(LONGEST_CELL)
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        if tuple(next(rows, ())[: len(HEADER)]) != HEADER:
            raise ValueError(f"its header is not {','.join(HEADER)}")
        for row in rows:
            yield row[: len(HEADER)]


def number(share: float) -> str:
    """Return a probability as text with the seven digits of a float32."""
    return f"{share:.7g}"


def csv_text(parts: Sequence[Predicted], classes: Sequence[str]) -> str:
    """Return the content of the file: the header, and the rows of each split; special characters in names are quoted."""
    return table_text(HEADER, (row for part in parts for row in part.rows(classes)))


def table_text(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    write = csv_writer(text)
    write(header)
    for row in rows:
        write(row)
    return text.getvalue()
