"""Read the predictions for each image of a split from a run folder, with numpy and without torch."""

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

# Prefix of the names of a split's tensors in the file of logits and targets.
PREFIXES = {"val": "val_", "test": ""}


@dataclass(frozen=True)
class Scored:
    """The predictions of the selected weights for a split.

    Attributes:
        split: name of the split.
        files: names of the N images.
        labels: class indices of the labels, int64 [N].
        predicted: class indices of the predictions, int64 [N].
        prob: probability of the predicted class, float64 [N].
        label_prob: probability of the label, float64 [N].
        named: whether `files` are real file names, rather than numbers such as `test[0]`.
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
        """Mask of the correctly classified images, bool [N]."""
        return self.labels == self.predicted


def read_scored(run: Path, classes: Sequence[str]) -> dict[str, Scored]:
    """Return the predictions of a run, by the name of the split; empty if it has no predictions file.

    Args:
        run: the run folder.
        classes: names of the C classes, in the order of the labels.

    Raises:
        ZooError: the predictions file is damaged.
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
        ValueError, KeyError, IndexError: the header is wrong, a class is unknown, or a number is malformed.
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
    """Read `predictions.safetensors`, the only predictions file of older runs, which has no image names."""
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
