"""What a folder of images holds: classes, splits, and what is wrong with it, before any image is decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoo.decode import EXTENSIONS, header_size
from zoo.errors import ZooError

SPLITS = ("train", "val", "test")
# Other usual names of the same split.
ALIASES = {"valid": "val", "validation": "val"}
# Crops show at least this share of an image's side at evaluation; the store keeps the pixels for it.
CROP = 0.875
# Squashing to a square and back costs detail along the longer side. With 1.125 times the pixels of that side, and 1.5 times
# those of the shorter one, evaluation at 224 px is within 1/255 of timm's transform on average (0.3 to 0.9 of 255 on
# photographs; 1.1 to 1.9 with as many pixels as the result has).
OVERSAMPLING = 1.5
LONGER_SIDE = 1.125
LARGEST_OVERSAMPLING = 3
SMALLEST_STORE = 256
SAMPLE = 256


@dataclass
class Tree:
    """The files of each split (or of `all`, to be split) as (path, label), and the classes in label order.

    Classes are sorted by code point, as torchvision does; the order is kept in the run and the exported model.
    """

    classes: list[str]
    parts: dict[str, list[tuple[Path, int]]]
    notes: list[str] = field(default_factory=list)


def scan(root: Path) -> Tree:
    """List the images below a root.

    Raises:
        ZooError: the root is missing, has no class folders, one class only, an empty class, a class
            that train lacks, or links that leave it.
    """
    if not root.is_dir():
        raise ZooError("data.root", f"no such directory: {root}", "point data.root at your image folder")
    found = _split_folders(root)
    names = {split: sorted(path.name for path in _folders(path, root)) for split, path in found.items()}
    first = next(iter(found))
    classes = names[first]
    _check_classes(classes, found[first])
    ignored: list[str] = []
    notes = []
    for split in found:
        for extra in sorted(set(names[split]) - set(classes)):
            raise ZooError("data.root", f"class '{extra}' is in {split} but not in train", "add it to train or remove it")
        lacking = [name for name in classes if name not in names[split]]
        if lacking:
            notes.append(f"{split} has no images of: {', '.join(lacking)}")
    parts = {
        split: [
            (image, label)
            for label, name in enumerate(classes)
            if name in names[split]
            for image in _images(path / name, root, ignored)
        ]
        for split, path in found.items()
    }
    if ignored:
        notes.append(f"ignored {len(ignored)} file{'s' * (len(ignored) > 1)} that are no images, first: {shown(ignored[0])}")
    return Tree(classes, parts, notes)


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split, train first; the root itself as `all` where it has no train folder."""
    top: dict[str, Path] = {}
    for path in _folders(root, root):
        split = ALIASES.get(path.name, path.name)
        if split in top:
            raise ZooError("data.root", f"{top[split]} and {path} are the same split", "keep one")
        top[split] = path
    if "train" in top:
        return {name: top[name] for name in SPLITS if name in top}
    if top.keys() & {*SPLITS}:
        raise ZooError("data.root", f"no folder train in {root}, but {', '.join(sorted(top))}", "expected ROOT/train/CLASS/IMAGE")
    return {"all": root}


def _check_classes(classes: list[str], folder: Path) -> None:
    if not classes:
        raise ZooError("data.root", f"no class folders in {folder}", "expected ROOT/train/CLASS/IMAGE or ROOT/CLASS/IMAGE")
    for name in classes:
        if any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name):
            raise ZooError("data.root", f"the class name {name!a} cannot be written as text", "rename the folder")
    if len(classes) == 1:
        raise ZooError("data.root", f"a single class, '{classes[0]}', in {folder}", "add a folder for each other class")


def shown(path: str) -> str:
    """A path as any console can print it: file names may hold bytes that are no text."""
    return path.encode("utf-8", "backslashreplace").decode()


def _entries(folder: str, root: str) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name, hidden things left out.

    Raises:
        ZooError: a link that leads to a folder, out of the root, or nowhere.
    """
    with os.scandir(folder) as listing:
        entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_symlink():
            real, inside = os.path.realpath(entry.path), os.path.realpath(root)
            if not os.path.isfile(real) or os.path.commonpath([real, inside]) != inside:
                what = f"{entry.path} links outside the root, to a folder or to nothing"
                raise ZooError("data.root", what, "put the files in its place")
    return entries


def _folders(path: Path, root: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(str(path), str(root)) if entry.is_dir()]


def _images(folder: Path, root: Path, ignored: list[str]) -> list[Path]:
    """The image files of a class, at any depth, sorted by name."""
    images: list[Path] = []
    pending = [str(folder)]
    while pending:
        for entry in _entries(pending.pop(), str(root)):
            if entry.is_dir():
                pending.append(entry.path)
            elif entry.name.lower().endswith(EXTENSIONS):
                if not entry.is_file():  # a pipe would be waited for
                    raise ZooError("data.root", f"{entry.path} is no plain file", "remove it")
                images.append(Path(entry.path))
            else:
                ignored.append(entry.path)
    if not images:
        raise ZooError("data.root", f"class '{folder.name}' has no images in {folder}", "add some or remove the folder")
    return sorted(images)


def store_size(files: list[Path], image_size: int) -> int:
    """The side at which to keep images: no larger than they are, and no larger than training needs."""
    sample = files[:: max(1, len(files) // SAMPLE)][:SAMPLE]
    sides = np.array([header_size(str(path)) for path in sample] or [(image_size, image_size)])
    largest = int(np.percentile(sides.max(1), 90))
    shape = float(np.percentile(sides.max(1) / sides.min(1).clip(min=1), 90))
    needed = image_size / CROP * min(max(OVERSAMPLING, LONGER_SIDE * shape), LARGEST_OVERSAMPLING)
    return max(8, min(largest, max(SMALLEST_STORE, round(needed))))
