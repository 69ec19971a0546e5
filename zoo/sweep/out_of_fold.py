"""Combine the out-of-fold predictions of a cross-validation: each image is predicted by the run that did not train on it.

DIR/predictions.csv  a row for each training image, from the run that validated on it; columns as in a run's file, and `fold`
DIR/folds.json       the accuracy of each fold, their mean and standard deviation, and the accuracy over all images
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.metrics import interval
from zoo.results.folder import RunFolder
from zoo.results.predictions import HEADER, PREDICTIONS, read_rows, table_text
from zoo.results.result import Result, read_result

# The file with the scores, and the version of its format.
FOLDS = "folds.json"
VERSION = 1
# Indices of the columns that are read here.
FILE, CORRECT = HEADER.index("file"), HEADER.index("correct")


@dataclass(frozen=True)
class FoldScore:
    """The score of one fold.

    Attributes:
        fold: number of the fold, from 0.
        folder: name of its run's folder.
        epoch: the epoch whose weights were kept.
        images: number of validation images.
        correct: number of them that were classified correctly.
        accuracy: `correct / images`.
    """

    fold: int
    folder: str
    epoch: int
    images: int
    correct: int
    accuracy: float


@dataclass(frozen=True)
class OutOfFold:
    """The combined results of all folds.

    Attributes:
        folds: the score of each fold.
        classes: class names, in the order of the labels.
        rows: cells of `predictions.csv`.
    """

    folds: tuple[FoldScore, ...]
    classes: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]

    @property
    def images(self) -> int:
        """The number of images of all folds."""
        return sum(fold.images for fold in self.folds)

    @property
    def accuracy(self) -> float:
        """The out-of-fold accuracy: the share of all images classified correctly by the run that did not train on them."""
        return sum(fold.correct for fold in self.folds) / self.images

    @property
    def mean(self) -> float:
        """The mean of the accuracies of the folds."""
        return statistics.fmean(fold.accuracy for fold in self.folds)

    @property
    def std(self) -> float:
        """The standard deviation of the accuracies of the folds, with n - 1."""
        return statistics.stdev(fold.accuracy for fold in self.folds)

    def record(self) -> dict[str, Any]:
        """Return the content of `folds.json`; accuracies are from 0 to 1."""
        return {
            "version": VERSION,
            "folds": [asdict(fold) for fold in self.folds],
            "mean": self.mean,
            "std": self.std,
            "images": self.images,
            "accuracy": self.accuracy,
            "ci95": interval(self.accuracy, self.images),
            "classes": list(self.classes),
            "predictions": PREDICTIONS,
        }


def gather(folder: Path, names: Sequence[str]) -> OutOfFold:
    """Read the finished runs of all folds.

    Args:
        folder: folder of the cross-validation.
        names: names of its run folders, in the order of the folds.

    Raises:
        ZooError: a run is damaged or not finished, or the folds are not of the same images.
    """
    folds, rows, classes = [], [], ()
    for number, name in enumerate(names):
        result, own = _read(folder / name)
        classes = classes or result.classes
        if result.classes != classes:
            raise ZooError(str(folder / name), "has other classes than fold 0", "remove it; the same command trains it again")
        correct = sum(row[CORRECT] == "1" for row in own)
        folds.append(FoldScore(number, name, result.selected_epoch, len(own), correct, correct / len(own)))
        rows += [(*row, number) for row in own]
    _check(folder, rows, [fold.images for fold in folds])
    return OutOfFold(tuple(folds), classes, tuple(rows))


def write(folder: Path, found: OutOfFold) -> None:
    """Write `predictions.csv` and `folds.json`.

    Raises:
        StorageError: they cannot be written.
    """
    RunFolder(folder).write(PREDICTIONS, table_text((*HEADER, "fold"), found.rows))
    RunFolder(folder).write_json(FOLDS, found.record())


def _read(run: Path) -> tuple[Result, list[list[str]]]:
    """Return the result of a finished run, and its prediction rows for the validation images."""
    result = read_result(RunFolder(run))
    if result is None:
        raise ZooError(str(run), "the run is not finished", "give the same command again")
    try:
        rows = [row for row in read_rows(run / PREDICTIONS) if row[0] == "val"]
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise ZooError(str(run / PREDICTIONS), f"cannot be read: {error}", "the run is damaged") from None
    if not rows:
        raise ZooError(str(run / PREDICTIONS), "has no validation images", "the run is damaged")
    return result, rows


def _check(folder: Path, rows: Sequence[Sequence[Any]], sizes: Sequence[int]) -> None:
    """Check that each image is in one fold and that fold sizes differ by at most one, as for folds of the same images."""
    todo = "remove the folder and start again"
    names = [str(row[FILE]) for row in rows]
    if len(set(names)) < len(names) or max(sizes) - min(sizes) > 1:
        raise ZooError(str(folder), "the images changed between the runs of its folds", todo)
