"""Read a data set into its splits: torchvision's archives, an image folder, scikit-learn's digits, synthetic patterns."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.data import image_folder, rng
from zoo.data.pixel_store import FORMAT, PixelStore, from_files, stats, stored, write
from zoo.data.rng import generator_of
from zoo.data.splits import Split, stratified_split
from zoo.data.store_size import store_size
from zoo.errors import ZooError
from zoo.system.files import cache_root


def torchvision_set(name: str, root: Path) -> tuple[list[str], Split, Split]:
    """Class names, training and test images of a torchvision data set, downloaded on first use.

    Raises:
        ZooError: its archive is damaged, or not there and cannot be downloaded.
    """

    def build(folder: Path) -> None:
        parts = [_read_torchvision(name, root, train) for train in (True, False)]
        write(folder, PixelStore.square(np.concatenate([images for images, _, _ in parts])))
        np.save(folder / "targets.npy", np.concatenate([targets for _, targets, _ in parts]), allow_pickle=False)
        about = {"classes": parts[0][2], "train_images": len(parts[0][1])}
        (folder / "about.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    # The sets never change; their archives are checked against torchvision's MD5 sums when they are read.
    key = f"{name}-{FORMAT}"
    pixels, _ = stored(key, build)
    folder = cache_root() / "pixels" / key
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    targets = np.load(folder / "targets.npy", allow_pickle=False)
    whole = Split.of(pixels, targets)
    train, test = (whole.take(rows) for rows in np.split(np.arange(len(targets)), [about["train_images"]]))
    return about["classes"], train, test


def _damaged(name: str, root: Path) -> str:
    """What is wrong with a file of CIFAR that is there, '' if nothing is."""
    import torchvision

    known = getattr(torchvision.datasets, name)
    if not hasattr(known, "train_list"):
        return ""
    folder = root / known.base_folder
    files = [(root / known.filename, known.tgz_md5)] + [(folder / file, md5) for file, md5 in known.train_list + known.test_list]
    for file, expected in files:
        found = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() if file.is_file() else expected
        if found != expected:
            return f"{file} is damaged: md5 {found}, expected {expected}"
    return ""


def _read_torchvision(name: str, root: Path, train: bool) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pixels uint8 [N, 3, S, S], targets int64 [N] and class names."""
    import torchvision

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            data = getattr(torchvision.datasets, name)(str(root), train=train, download=True)
    except Exception as error:  # network failures of several libraries, and what a damaged file makes of its reader
        damaged = _damaged(name, root)
        if not damaged and not isinstance(error, OSError) and "download" not in str(error).lower():
            damaged = f"{name} in {root} is damaged: {error}"
        if damaged:
            raise ZooError("data.root", damaged, "delete it, it is downloaded again") from None
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        what = f"{name} is not in {root} and cannot be downloaded: {reason}"
        todo = "put its archive there, or use data.kind=folder with your own images, or data.kind=digits"
        raise ZooError("data.root", what, todo) from None
    images = np.asarray(data.data)
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=3)
    return images.transpose(0, 3, 1, 2), np.asarray(data.targets, dtype=np.int64), list(data.classes)


def folder_set(
    root: Path, *, side: int | None, image_size: int, test_fraction: float
) -> tuple[list[str], dict[str, Split], list[str], str]:
    """Class names, the splits `train`, `val` and `test` as far as there are any, notes for the console, and the files' mark.

    Raises:
        ZooError: the folder is not as it should be, or an image cannot be read.
    """
    tree = image_folder.scan(root)
    files = [path for part in tree.parts.values() for path, _ in part]
    size = side or store_size(files, image_size)
    # Whatever the backbone resamples with: a bilinear store shows (0.7 to 1.1 of 255 from timm, against 0.4 to 0.8), and
    # all backbones can share one.
    mark = names_and_sizes(files, root)
    pixels, made = from_files(files, size, "bicubic", "data.root")
    notes = [*tree.notes, f"decoded {len(files):,} images" if made else "images found decoded"]
    whole = Split.of(pixels, np.array([label for part in tree.parts.values() for _, label in part], np.int64))
    ends = np.cumsum([len(part) for part in tree.parts.values()])
    rows = np.split(np.arange(len(whole)), ends[:-1])
    sets = {name: whole.take(some) for name, some in zip(tree.parts, rows, strict=True)}
    if "all" in sets:
        # Cut before val is, by a seed of its own: the test images stay the same whatever the seed.
        rest = sets.pop("all")
        if test_fraction:
            rest, sets["test"] = stratified_split(rest, test_fraction, seed=0)
        sets["train"] = rest
    return tree.classes, sets, notes, mark


def names_and_sizes(files: Sequence[Path], root: Path) -> str:
    """What tells one list of files from another, wherever it was copied to: their names below the root, and their sizes."""
    digest = hashlib.sha256()
    for path, stat in stats(files, "data.root"):
        digest.update(os.fsencode(path.relative_to(root)) + b"\0%d\0" % stat.st_size)
    return digest.hexdigest()


def digits_set(test_fraction: float) -> tuple[list[str], Split, Split]:
    """Class names, training and test images of scikit-learn's digits.

    Raises:
        ZooError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ZooError("data.kind", "digits needs scikit-learn", "pip install scikit-learn") from None
    images, targets = load_digits(return_X_y=True)
    gray = np.round(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    # The test images stay the same whatever the seed, so that runs can be compared.
    train, test = stratified_split(Split.of(PixelStore.square(np.repeat(gray, 3, axis=1)), targets), test_fraction, seed=0)
    return [str(digit) for digit in range(10)], train, test


def synthetic_set(classes: int, train_images: int, test_images: int, size: int) -> tuple[list[str], Split, Split]:
    """Class names, training and test images: a pattern for each class, and noise; the same in every run."""
    generator = generator_of(0, rng.SYNTHETIC)
    cells = generator.uniform(40, 216, (classes, 3, 4, 4))
    cell = -(-size // 4)
    patterns = np.repeat(np.repeat(cells, cell, 2), cell, 3)[..., :size, :size]

    def draw(count: int) -> Split:
        targets = np.arange(count) % classes
        noise = generator.normal(0, 24, (count, 3, size, size))
        return Split.of(PixelStore.square(np.clip(patterns[targets] + noise, 0, 255).astype(np.uint8)), targets)

    return [f"class{label}" for label in range(classes)], draw(train_images), draw(test_images)
