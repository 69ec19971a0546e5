"""Read what a model said of each image of a split, as a run keeps it: with numpy, never torch."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from zoo.errors import ZooError
from zoo.results.predictions import PREDICTIONS, TENSORS, read_rows

# The prefix of a split's tensors in the file of logits and targets.
PREFIXES = {"val": "val_", "test": ""}


@dataclass(frozen=True)
class Scored:
    """A split as the selected weights saw it.

    Attributes:
        split: its name.
        files: the name of each of the N images.
        labels: int64 [N], positions in the list of classes.
        predicted: int64 [N].
        prob: float64 [N], probability of the predicted class.
        label_prob: float64 [N], probability of the label.
        named: the names are the images' own, and not their numbers.
    """

    split: str
    files: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray
    prob: np.ndarray
    label_prob: np.ndarray
    named: bool = True

    def __len__(self) -> int:
        return len(self.files)

    @property
    def hits(self) -> np.ndarray:
        """The images that are right, bool [N]."""
        return self.labels == self.predicted


def read_scored(run: Path, classes: Sequence[str]) -> dict[str, Scored]:
    """Return the splits of which a run keeps predictions, by name.

    Args:
        run: the run folder.
        classes: the names of the C classes, in the order of the labels.

    Raises:
        ZooError: the file is damaged.
    """
    try:
        if (run / PREDICTIONS).exists():
            return _from_table(run / PREDICTIONS, classes)
        if (run / TENSORS).exists():
            return _from_tensors(run / TENSORS)
    except (OSError, ValueError, KeyError, IndexError, csv.Error, SafetensorError) as error:
        name = PREDICTIONS if (run / PREDICTIONS).exists() else TENSORS
        raise ZooError(str(run / name), f"cannot be read: {error}", "the run is damaged") from None
    return {}


def _from_table(path: Path, classes: Sequence[str]) -> dict[str, Scored]:
    """Read `predictions.csv`.

    Raises:
        ValueError, KeyError, IndexError: it has another header, a class that is none, or a number that is none.
    """
    columns: dict[str, tuple[list[str], list[int], list[int], list[float], list[float]]]
    columns = defaultdict(lambda: ([], [], [], [], []))
    known = {name: place for place, name in enumerate(classes)}
    for split, name, label, predicted, prob, _, label_prob in read_rows(path):
        cells = (name, known[label], known[predicted], float(prob), float(label_prob))
        for column, cell in zip(columns[split], cells, strict=True):
            column.append(cell)  # type: ignore[arg-type]
    return {
        split: Scored(split, files, np.array(labels), np.array(predicted), np.array(prob), np.array(label_prob))
        for split, (files, labels, predicted, prob, label_prob) in columns.items()
    }


def _from_tensors(path: Path) -> dict[str, Scored]:
    """Read `predictions.safetensors`, which runs had before they named their images."""
    tensors = load_file(path)
    found = {}
    for split, prefix in PREFIXES.items():
        if f"{prefix}logits" not in tensors:
            continue
        logits, labels = tensors[f"{prefix}logits"].astype(np.float64), tensors[f"{prefix}targets"]  # [N, C], [N]
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)  # [N, C]
        predicted = logits.argmax(1)  # [N]
        rows = np.arange(len(labels))
        files = [f"{split}[{row}]" for row in rows]
        found[split] = Scored(split, files, labels, predicted, shares[rows, predicted], shares[rows, labels], named=False)
    return found
