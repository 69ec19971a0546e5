"""Real images of a run or a folder: for the proof of an export, and for the calibration of int8.

Classes are matched by name, as in `zoo eval`, since a folder may have gained a class after the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.data.decode import EXTENSIONS, Unreadable, open_rgb
from zoo.data.root_check import check_not_a_file, listed, split_name
from zoo.errors import ZooError
from zoo.inference.image_paths import ImagePaths
from zoo.inference.labeled_images import LabeledImages, in_folder, reader, splits_of
from zoo.inference.match_classes import match_classes
from zoo.recipe.load import load_recipe
from zoo.results.folder import RunFolder
from zoo.system.files import expanded

# Maximum number of images of a proof: 1,000 distinguish accuracies that differ by 1 to 2 points, in under a minute.
MOST_IMAGES = 1000
CHECK = "--check"
# Splits for the proof of an export, the best first.
SPLITS = ("val", "test", "train")


@dataclass(frozen=True)
class ProofImages:
    """Images with targets, in any order.

    Attributes:
        source: a description of their origin.
        pictures: files, or the images of a data set without files.
        targets: int64 [N], -1 if the class is unknown or is not a class of the model.
        notes: lines for the console on differences between the images' classes and the model's.
    """

    source: str
    pictures: Sequence[Path | Image.Image]
    targets: np.ndarray
    notes: tuple[str, ...] = ()

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

    def take(self, places: np.ndarray) -> ProofImages:
        """Return some of the images; `places` int64 [n]."""
        return replace(self, pictures=[self.pictures[place] for place in places], targets=self.targets[places])


def images_of(
    run: RunFolder | None, check: Path | None, classes: tuple[str, ...], aliases: Mapping[str, int] | None = None
) -> ProofImages:
    """Return the images to prove an export on.

    Args:
        run: the run of the model, or None.
        check: a folder of images to use instead.
        classes: classes of the model, in label order.
        aliases: other names of the classes, in lower case, and their labels.

    Raises:
        ZooError: there are no images, or they cannot be read.
    """
    if check is not None:
        return _below(check, classes, aliases or {})
    if run is None:
        raise ZooError(CHECK, "the model is not from a run, so there are no images to check the export on", "give --check FOLDER")
    try:
        return _of_run(run, ("val", "test"), MOST_IMAGES, classes, aliases or {})
    except ZooError as error:
        raise ZooError(CHECK, f"the run's images: {error.where}: {error.what}", "give other images with --check FOLDER") from None


def set_apart(run: RunFolder | None, images: ProofImages, most: int) -> tuple[ProofImages, ProofImages]:
    """Return the images for calibration, and the images for the proof; no image is in both.

    Calibration uses training images of the run if they are available, else at most half of the given images.

    Args:
        run: the run of the model, or None.
        images: the images for the proof.
        most: maximum number of images for calibration.

    Raises:
        ZooError: there is only one image, and no training image.
    """
    own = _training(run, most) if run else None
    if own is not None:
        counted = {os.path.realpath(path) for path in images.pictures if isinstance(path, Path)}
        free = [place for place, path in enumerate(own.pictures) if _real(path) not in counted]
        if free:
            return own.take(np.array(free)), images
    if len(images) < 2:
        raise ZooError("--precision int8", f"only one image in {images.source}", "give more with --check FOLDER")
    places = _spread(len(images), min(most, len(images) // 2))
    rest = np.setdiff1d(np.arange(len(images)), places)
    return images.take(places), images.take(rest)


def _real(picture: Path | Image.Image) -> str:
    return os.path.realpath(picture) if isinstance(picture, Path) else ""


def _training(run: RunFolder, most: int) -> ProofImages | None:
    """Return training images of a run, or None if they are no longer available."""
    try:
        return _of_run(run, ("train",), most, (), {})
    except ZooError:
        return None


def _of_run(run: RunFolder, names: Sequence[str], most: int, classes: tuple[str, ...], aliases: Mapping[str, int]) -> ProofImages:
    """Return images of the first split in `names` that the run's data has.

    Raises:
        ZooError: the data has none of these splits, or the images are no longer there.
    """
    recipe = load_recipe(run.path / "recipe.yaml")
    recipe.data.check()
    splits = splits_of(recipe.data, recipe.train.seed)
    name = next((name for name in names if name in splits.named()), None)
    if name is None:
        raise ZooError(str(run.path), "the run has no validation and no test images")
    split = splits.named()[name]
    title = {"val": "validation", "test": "test", "train": "training"}[name]
    images = LabeledImages(
        data=f"{title} images of {run.path}",
        split=name,
        classes=splits.classes,
        names=[],
        labels=split.targets.tolist(),
        image=reader(split, recipe.data),
    )
    found = _matched(images, most, classes, aliases)
    if not classes or splits.classes == classes:
        return found
    changed = "the run's images now have other classes than in training: its validation images may differ too"
    return replace(found, notes=(changed, *found.notes))


def _below(folder: Path, classes: tuple[str, ...], aliases: Mapping[str, int]) -> ProofImages:
    """Return the images of a folder with classes, or with splits; images of any other folder have no class.

    Raises:
        ZooError: there are no images.
    """
    root = expanded(folder)
    check_not_a_file(root, CHECK)
    try:
        folders, names = listed(root)
    except OSError as error:
        raise ZooError(CHECK, f"{folder}: {error.strerror}", "give a folder of images") from None
    # If there are images beside the folders, the folders are not classes.
    if folders and not any(name.lower().endswith(EXTENSIONS) for name in names):
        there = {split_name(name) for name in folders}
        try:
            images = in_folder(str(root), next((name for name in SPLITS if name in there), SPLITS[0]))
        except ZooError as error:
            raise error.at(CHECK) from None
        return _matched(replace(images, data=str(folder)), MOST_IMAGES, classes, aliases)
    files = [Path(path) for path in ImagePaths([str(root)]) if path.lower().endswith(EXTENSIONS)]
    if not files:
        raise ZooError(CHECK, f"no images in {folder}", "give a folder with a folder of images for each class")
    files = [files[place] for place in _spread(len(files), MOST_IMAGES)]
    notes = ("the folder has no class folders: accuracies are not compared",)
    return ProofImages(str(folder), files, np.full(len(files), -1, np.int64), notes)


def _matched(images: LabeledImages, most: int, classes: tuple[str, ...], aliases: Mapping[str, int]) -> ProofImages:
    """Return at most `most` of the labeled images, with the model's labels of their classes, or -1 for other classes.

    Args:
        images: images with their own classes.
        most: maximum number of images to return, evenly spread.
        classes: classes of the model; empty if only the pictures are needed.
        aliases: other names of the classes.
    """
    places = _spread(len(images.labels), most)
    pictures = [images.image(place) for place in places.tolist()]
    labels = np.asarray(images.labels, np.int64)[places]
    counts = np.bincount(labels, minlength=len(images.classes)).tolist()
    unknown: list[int | None] = [None] * len(images.classes)
    try:
        matching = match_classes(images.classes, classes, aliases, counts) if classes else None
        outputs, notes = (matching.outputs, matching.notes) if matching else (unknown, ())
    except ZooError as error:
        outputs, notes = unknown, (f"accuracies are not compared: {error.what}",)
    targets = np.array([-1 if output is None else output for output in outputs], np.int64)[labels]
    return ProofImages(images.data, pictures, targets, tuple(notes))


def _spread(count: int, most: int) -> np.ndarray:
    """Return at most `most` evenly spread positions below `count`, int64 [n]."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)
