"""Compare two finished runs: their recipes, their answers for the same test images, and their costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ZooError
from zoo.ranking.answers import Answers, in_order_of, other_test
from zoo.ranking.runs import Run, read_run
from zoo.recipe.differences import Difference, between
from zoo.stats.paired import PairedTable

# Options that may differ between any two runs without a meaning.
NAMES = ("name", "output.root")


@dataclass(frozen=True)
class Flip:
    """A test image that exactly one of the two runs classifies correctly.

    Attributes:
        file: name of the image.
        label: its class.
        first, second: the classes predicted by the two runs.
        right: the run that is correct: `first` or `second`.
    """

    file: str
    label: str
    first: str
    second: str
    right: str


@dataclass(frozen=True)
class Figure:
    """A named quantity of both runs; None if a run does not have it."""

    name: str
    first: float | None
    second: float | None

    @property
    def ratio(self) -> float | None:
        """Return `second / first`, or None if that is not defined."""
        return self.second / self.first if self.first and self.second is not None else None


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same test images.

    Attributes:
        first, second: the runs.
        recipe: options that differ.
        table: number of images that both, only one or neither run classifies correctly.
        flips: images that exactly one run classifies correctly, in the order of the test set.
        figures: test accuracy, minutes, speeds, memory and parameters.
    """

    first: Run
    second: Run
    recipe: tuple[Difference, ...]
    table: PairedTable
    flips: tuple[Flip, ...]
    figures: tuple[Figure, ...]


def compare(first: Path, second: Path) -> Comparison:
    """Compare two finished runs.

    Raises:
        ZooError: a run is not finished, is damaged or has no test set, or the two test sets differ.
    """
    one, other = read_run(first), read_run(second)
    ours, theirs = _answers(one), _answers(other)
    if differs := other_test(ours, theirs):
        raise ZooError(str(second), f"has other test images than {first}: {differs}", "compare runs of one test set")
    # Take the order and the image names from the run that has names.
    if ours.files or not theirs.files:
        theirs = in_order_of(ours, theirs)
    named = ours if ours.files else theirs
    return Comparison(
        first=one,
        second=other,
        recipe=tuple(option for option in between(one.recipe, other.recipe) if option.key not in NAMES),
        table=PairedTable.of(ours.right, theirs.right),
        flips=tuple(_flips(named, ours, theirs)),
        figures=tuple(_figures(one, other)),
    )


def _answers(run: Run) -> Answers:
    if not run.answers:
        raise ZooError(str(run.path), "has no test set to compare on", "compare runs that have one")
    return run.answers


def _flips(named: Answers, first: Answers, second: Answers) -> Iterator[Flip]:
    for place in (first.right != second.right).nonzero()[0].tolist():
        right = "first" if first.right[place] else "second"
        yield Flip(named.name(place), named.labels[place], first.predicted[place], second.predicted[place], right)


def _figures(first: Run, second: Run) -> Iterator[Figure]:
    results = first.result, second.result
    trains = [result.train for result in results]
    yield Figure("test accuracy", *(result.test.accuracy if result.test else None for result in results))
    yield Figure("training minutes", *(train.seconds / 60 for train in trains))
    yield Figure("training images/s", *(train.images_per_second for train in trains))
    yield Figure("inference images/s", *(train.eval_images_per_second for train in trains))
    yield Figure("peak memory, MB", *(train.peak_memory_mb for train in trains))
    yield Figure("parameters, M", *(result.params / 1e6 for result in results))
