"""The real images that an export is proven on: validation images of the run, or a folder of class folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.data.decode import EXTENSIONS, Unreadable, open_rgb
from zoo.errors import ZooError
from zoo.inference.labeled_images import reader, splits_of
from zoo.recipe.load import load_recipe
from zoo.results.folder import RunFolder

# Images that a proof looks at, at most: 1,000 tell accuracies apart that differ by 1 to 2 points, in under a minute.
MOST_IMAGES = 1000
CHECK = "--check"


@dataclass(frozen=True)
class ProofImages:
    """Images in any order.

    Attributes:
        source: where they came from, for people.
        pictures: files, or the images of a data set without files.
        targets: int64 [N], -1 where the class is not known or not the model's.
    """

    source: str
    pictures: Sequence[Path | Image.Image]
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Image.Image]:
        return map(self.image, range(len(self)))

    def image(self, place: int) -> Image.Image:
        """Return an image, upright and in RGB.

        Raises:
            ZooError: its file cannot be read.
        """
        picture = self.pictures[place]
        if isinstance(picture, Image.Image):
            return picture
        try:
            return open_rgb(picture)
        except Unreadable as error:
            raise ZooError(str(picture), str(error), "remove it, or give other images with --check") from None

    def spread(self, most: int) -> ProofImages:
        """Return at most so many of the images, evenly spread over all."""
        places = _spread(len(self), most)
        return ProofImages(self.source, [self.pictures[place] for place in places], self.targets[places])


def images_of(run: RunFolder | None, check: Path | None, classes: tuple[str, ...]) -> ProofImages:
    """Return the images to prove an export on.

    Args:
        run: the run, None where the model is of none.
        check: a folder of images to take instead.
        classes: of the model, in label order.

    Raises:
        ZooError: there are none, or they cannot be read.
    """
    if check is not None:
        return _below(check, classes)
    if run is None:
        raise ZooError(CHECK, "the model is of no run, so there are no images to prove the export on", "--check FOLDER")
    try:
        return _validation(run)
    except ZooError as error:
        raise ZooError(CHECK, f"the run's images: {error}", "give others: --check FOLDER") from None


def _below(folder: Path, classes: tuple[str, ...]) -> ProofImages:
    """Return the images of a folder; a class is the name of the folder that a file is in.

    Raises:
        ZooError: there are none.
    """
    try:
        files = sorted(path for path in folder.expanduser().rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    except OSError as error:
        raise ZooError(CHECK, f"{folder}: {error.strerror}", "give a folder of images") from None
    if not files:
        raise ZooError(CHECK, f"no images in {folder}", "give a folder with a folder of images for each class")
    files = [files[place] for place in _spread(len(files), MOST_IMAGES)]
    labels = {name: label for label, name in enumerate(classes)}
    return ProofImages(str(folder), files, np.array([labels.get(path.parent.name, -1) for path in files], np.int64))


def _validation(run: RunFolder) -> ProofImages:
    """Return the validation images of a run; test images where it has none.

    Raises:
        ZooError: the run has neither, or its images are no longer there.
    """
    recipe = load_recipe(run.path / "recipe.yaml")
    splits = splits_of(recipe.data, recipe.train.seed)
    split, name = (splits.val, "validation") if splits.val is not None else (splits.test, "test")
    if split is None:
        raise ZooError(str(run.path), "it has no validation and no test images")
    places = _spread(len(split), MOST_IMAGES)
    pictures = [*map(reader(split, recipe.data), places.tolist())]
    return ProofImages(f"{name} images of {run.path}", pictures, split.targets[places])


def _spread(count: int, most: int) -> np.ndarray:
    """Return at most so many places from 0 to `count`, evenly spread: int64 [n]."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)
