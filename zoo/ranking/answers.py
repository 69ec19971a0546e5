"""Read a run's predictions for its test images, and check that two runs have the same test images."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.errors import ZooError
from zoo.results.predictions import HEADER, PREDICTIONS, TENSORS, read_rows

# Columns of predictions.csv that are read here.
SPLIT, FILE, LABEL, PREDICTED, CORRECT = (HEADER.index(name) for name in ("split", "file", "label", "predicted", "correct"))


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers for N test images.

    Attributes:
        files: file name of each image; empty if the run has not written names.
        labels: name of each image's class.
        predicted: name of each image's predicted class.
        right: whether the prediction is correct, bool [N].
    """

    files: tuple[str, ...]
    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    right: np.ndarray

    def __len__(self) -> int:
        """Return the number of images N."""
        return len(self.labels)

    def name(self, place: int) -> str:
        """Return the file name of an image, or its index as `test[0]` if names are unknown."""
        return self.files[place] if self.files else f"test[{place}]"


def read_answers(run: Path, classes: Sequence[str], count: int) -> Answers:
    """Read a run's answers to its `count` test images.

    Args:
        run: the run folder.
        classes: the class names in label order, which `predictions.safetensors` does not have.
        count: the number of test images according to `result.json`.

    Raises:
        ZooError: the predictions are missing, damaged, or of another number of images.
    """
    path = run / PREDICTIONS
    found = _from_csv(path) if path.exists() else _from_tensors(run / TENSORS, classes)
    if len(found) != count:
        what = f"has {len(found):,} test images, result.json says {count:,}"
        raise ZooError(str(path if path.exists() else run / TENSORS), what, "the run is damaged")
    return found


def _from_csv(path: Path) -> Answers:
    try:
        rows = read_rows(path)
        test = [(row[FILE], row[LABEL], row[PREDICTED], row[CORRECT] == "1") for row in rows if row[SPLIT] == "test"]
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise ZooError(str(path), f"cannot be read: {error}", "the run is damaged") from None
    files, labels, predicted, right = zip(*test, strict=True) if test else ((), (), (), ())
    return Answers(files, labels, predicted, np.array(right, dtype=bool))


def _from_tensors(path: Path, classes: Sequence[str]) -> Answers:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        targets, predicted = tensors["targets"], tensors["logits"].argmax(1)  # [N], [N]
        labels, said = (tuple([classes[int(place)] for place in places.tolist()]) for places in (targets, predicted))
    except (OSError, SafetensorError, KeyError, IndexError, ValueError) as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise ZooError(str(path), what, "the run's predictions are needed to compare it") from None
    return Answers((), labels, said, targets == predicted)


def other_test(first: Answers, second: Answers) -> str:
    """Return how the test images of two runs differ, or '' if they are the same.

    Names and labels are compared, in any order. If a run has no names, only the labels are compared, in order.
    """
    if first.files == second.files and first.labels == second.labels:
        return ""
    if len(first) != len(second):
        return f"{len(first):,} and {len(second):,} images"
    if not first.files or not second.files:
        pairs = enumerate(zip(first.labels, second.labels, strict=True))
        return next((f"image {place} is of class {one!r} and {other!r}" for place, (one, other) in pairs if one != other), "")
    ours, theirs = (sorted(zip(one.files, one.labels, strict=True)) for one in (first, second))
    one, other = next(((one, other) for one, other in zip(ours, theirs, strict=True) if one != other), (("", ""), ("", "")))
    if one == other:
        return ""
    if one[0] == other[0]:
        return f"{one[0]} is of class {one[1]!r} and {other[1]!r}"
    return f"{min(one[0], other[0])} is in one of them only"


def in_order_of(first: Answers, second: Answers) -> Answers:
    """Return the second run's answers in the order of the first run's images; both must have the same images."""
    if not first.files or not second.files or first.files == second.files:
        return second
    order = np.empty(len(first), dtype=np.int64)
    # Images with the same name and label cannot be distinguished, so they are matched in order.
    keys = [sorted(range(len(one)), key=lambda place: (one.files[place], one.labels[place])) for one in (first, second)]
    order[keys[0]] = keys[1]
    labels, predicted = (tuple(texts[place] for place in order) for texts in (second.labels, second.predicted))
    return Answers(first.files, labels, predicted, second.right[order])
