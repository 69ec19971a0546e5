"""Find images whose classes are known: in folders, or in a data set of a recipe. Nothing is decoded here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from zoo.data.data_set import DataSet
from zoo.data.folder_set import Folder
from zoo.data.image_folder import scan_classes, split_folders
from zoo.data.root_check import SPLITS, check_root
from zoo.data.splits import Split, Splits
from zoo.errors import ZooError
from zoo.recipe.data_words import read_data
from zoo.system.files import printable

# The flag that errors name.
WHERE = "--data"


@dataclass(frozen=True)
class LabeledImages:
    """The images of a split.

    Attributes:
        data: the name of the images as a whole.
        split: train, val, test, or `all`.
        classes: the names of the classes, in the order of the labels.
        names: the name of each of the N images.
        labels: the class of each image, as an index into `classes`.
        image: function that returns the file of an image, or the image itself, by its index.
        notes: lines for the console.
    """

    data: str
    split: str
    classes: Sequence[str]
    names: Sequence[str]
    labels: Sequence[int]
    image: Callable[[int], Path | Image.Image]
    notes: Sequence[str] = ()


def find_images(data: str | Path | Sequence[str], split: str, seed: int = 0) -> LabeledImages:
    """Return the images of a folder, or of a data set that `key=value` words describe.

    Args:
        data: the folder, or the words.
        split: train, val or test; a folder of classes without such parts is taken as a whole.
        seed: seed for drawing val, if the data set splits it from train.

    Raises:
        ZooError: there are no such images.
    """
    words = [str(data)] if isinstance(data, str | Path) else list(data)
    if len(words) == 1 and ("=" not in words[0] or os.path.exists(words[0])):
        return in_folder(words[0], split)
    return of_data_set(read_data(words), split, seed)


def in_folder(folder: str, split: str) -> LabeledImages:
    """Return the images of FOLDER/SPLIT/CLASS, or all images of FOLDER/CLASS.

    Raises:
        ZooError: there are no images, or the folder has only other splits.
    """
    root = Path(os.path.abspath(os.path.expanduser(folder)))
    check_root(root, WHERE)
    parts = split_folders(root, WHERE)
    if parts and split not in parts:
        there = [name for name in SPLITS if name in parts]
        raise ZooError(WHERE, f"no {split} folder in {root}, only {', '.join(there)}", f"--split {there[-1]}")
    tree = scan_classes(parts.get(split, root), root, WHERE)
    notes = list(tree.notes)
    if not parts:
        notes.append("the folder has no train, val or test folder: all of its images are scored")
    files = [path for path, _ in tree.parts["all"]]
    above = len(os.path.join(root, ""))
    return LabeledImages(
        data=folder,
        split=split if parts else "all",
        classes=tree.classes,
        names=[printable(os.fspath(path)[above:].replace(os.sep, "/")) for path in files],
        labels=[label for _, label in tree.parts["all"]],
        image=files.__getitem__,
        notes=notes,
    )


def of_data_set(data: DataSet, split: str, seed: int = 0) -> LabeledImages:
    """Return the images of a data set's split: files, or the stored pixels if it has no files.

    Raises:
        ZooError: the data set is not available, or has no such split.
    """
    data.check()
    found = splits_of(data, seed)
    images = found.named().get(split)
    if images is None:
        raise no_split(split, list(found.named()))
    return LabeledImages(
        data=str(data.root) if isinstance(data, Folder) else str(getattr(data, "kind", "")),
        split=split,
        classes=found.classes,
        names=images.names(),
        labels=images.targets.tolist(),
        image=reader(images, data),
        notes=_notes(found, images, split),
    )


def splits_of(data: DataSet, seed: int) -> Splits:
    """Return the splits of a data set; a folder's files are listed but not decoded.

    Raises:
        ZooError: the data set is not available.
    """
    # The image size in pixels matters only for folders.
    return data.listed(seed) if isinstance(data, Folder) else data.load(seed, 1)


def no_split(split: str, there: list[str]) -> ZooError:
    """Return the error for a split that the data does not have."""
    return ZooError("--split", f"the data has no {split} images", f"it has {', '.join(there)}")


def _notes(found: Splits, images: Split, split: str) -> list[str]:
    if split == "val" and found.val is images and images.origin.part:
        return [*found.notes, "val is a part of train, chosen by the seed"]
    return found.notes


def reader(images: Split, data: DataSet) -> Callable[[int], Path | Image.Image]:
    """Return a function from the index of an image in a split to the image."""

    def file(place: int) -> Path:
        return root / str(images.origin.files[int(images.index[place])])

    def pixels(place: int) -> Image.Image:
        return Image.fromarray(images.pixels.take(images.index[place : place + 1])[0].transpose(1, 2, 0).copy())

    if not isinstance(data, Folder):
        return pixels
    root = data.absolute_root()
    return file
