"""The images of a page: find their pixels, and make a figure with a caption for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zoo.data.splits import Split, Splits
from zoo.report.scored import Scored
from zoo.report.seen import Seen
from zoo.report.thumbnails import SIDE, Budget, Thumbnail, thumbnail
from zoo.report.wording import probability

# Number of images read from a store at a time.
TOGETHER = 64
# Longer side, in pixels, of the picture of a class, for up to this many classes: (classes, side).
CLASS_SIDES = ((20, SIDE), (100, 72), (1_000_000, 40))


@dataclass(frozen=True)
class Images:
    """The images of a run's data set.

    Attributes:
        data: the splits; None if they are not available.
        seen: training images as the model saw them; None if there are none to show.
        missing: a sentence that says why images are missing; '' if none are.
    """

    data: Splits | None = None
    seen: Seen | None = None
    missing: str = ""


@dataclass(frozen=True)
class Shot:
    """An image of the page.

    Attributes:
        picture: the picture; None if the image is not available or the page has no room for it.
        alt: alternative text, for readers who cannot see the picture.
        title: first line of the caption: a class name, or several.
        note: text beside the title, such as a probability.
        second, second_note: the second line and the text beside it.
        file: name of the image.
    """

    picture: Thumbnail | None
    alt: str
    title: str
    note: str = ""
    second: str = ""
    second_note: str = ""
    file: str = ""


class Gallery:
    """Makes the figures of a page, with pictures until the budget is spent.

    Args:
        images: source of the pixels.
        scored: predictions whose images are shown; None if there are none.
        classes: names of the classes.
        budget: maximum bytes of all pictures together.
    """

    def __init__(self, images: Images, scored: Scored | None, classes: Sequence[str], budget: int) -> None:
        self.images, self.classes = images, classes
        self.budget = Budget(budget)
        self.split = images.data.named().get(scored.split) if images.data and scored else None
        self.scored = _named(scored, self.split) if scored and self.split else scored
        self.place_of = _places(self.scored, self.split) if self.scored and self.split else {}

    @property
    def lacking(self) -> int:
        """The number of scored images that are no longer found by name."""
        return len(self.scored) - len(self.place_of) if self.scored and self.split else 0

    def predicted(self, positions: np.ndarray) -> list[Shot]:
        """Return figures of the scored images at the positions int64 [n], with their predictions."""
        places = [self.place_of.get(int(position)) for position in positions]
        pictures = self._pictures(self.split, places)
        return [self._predicted(int(position), picture) for position, picture in zip(positions, pictures, strict=True)]

    def _predicted(self, position: int, picture: Thumbnail | None) -> Shot:
        scored = self.scored
        assert scored is not None
        label, guess = (self.classes[int(of[position])] for of in (scored.labels, scored.predicted))
        right = label == guess
        file = scored.files[position]
        sure = probability(float(scored.prob[position]))
        alt = f"{file}: labeled {label}, predicted {guess} at {sure}"
        if right:
            return Shot(picture, alt, guess, sure, file=file)
        return Shot(picture, alt, guess, sure, label, probability(float(scored.label_prob[position])), file)

    def classes_shown(self) -> list[Shot]:
        """Return a figure of the first training image of each class."""
        data = self.images.data
        if data is None:
            return []
        side = next(side for most, side in CLASS_SIDES if len(data.classes) <= most)
        labels, first = np.unique(data.train.targets, return_index=True)
        names = data.train.take(first).names()
        pictures = self._pictures(data.train, first.tolist(), side)
        return [
            Shot(picture, f"{name}: {data.classes[label]}", data.classes[label], file=name)
            for label, name, picture in zip(labels, names, pictures, strict=True)
        ]

    def seen(self) -> list[Shot]:
        """Return a figure of each training image as the model saw it."""
        seen = self.images.seen
        if seen is None:
            return []
        shots = []
        for position, file in enumerate(seen.names):
            picture = self.budget.take(thumbnail(seen.pixels[position]))
            label = " + ".join(seen.lines(position))
            shots.append(Shot(picture, f"{file} as the model saw it: {label}", label, file=file))
        return shots

    def _pictures(self, split: Split | None, places: Sequence[int | None], side: int = SIDE) -> list[Thumbnail | None]:
        """Return the pictures of images of a split; None for a missing image, or if the budget is spent."""
        found: list[Thumbnail | None] = []
        for first in range(0, len(places), TOGETHER):
            part = places[first : first + TOGETHER]
            there = [place for place in part if place is not None]
            if split is None or not there or self.budget.left == 0:
                found += [None] * len(part)
                continue
            rows = split.index[there]
            # Read all rows in one call, because each read of a memory-mapped store also releases its memory.
            shapes = zip(split.pixels.take(rows), split.pixels.aspects[rows], strict=True)
            made = iter([self.budget.take(thumbnail(pixels, float(aspect), side)) for pixels, aspect in shapes])
            found += [None if place is None else next(made) for place in part]
        return found


def _named(scored: Scored, split: Split) -> Scored:
    """Return predictions with the split's image names, if the run kept no names and the split has the same labels."""
    if scored.named or not np.array_equal(scored.labels, split.targets):
        return scored
    return replace(scored, files=split.names(), named=True)


def _places(scored: Scored, split: Split) -> dict[int, int]:
    """Return the index in the split of each scored image that is still found by name."""
    names = split.names()
    if list(scored.files) == names:
        return dict(zip(range(len(names)), range(len(names)), strict=True))
    known = {name: place for place, name in enumerate(names)}
    return {position: known[name] for position, name in enumerate(scored.files) if name in known}
