"""Your own images in folders: list them, compare them with a run to resume, decode them once and split them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from zoo.data import store_cache
from zoo.data.data_set import DataSet, Outline
from zoo.data.root_check import check_root
from zoo.errors import ZooError
from zoo.system.files import expanded

if TYPE_CHECKING:
    from zoo.data.image_folder import Tree
    from zoo.data.pixel_store import PixelStore
    from zoo.data.splits import Split, Splits


class Folder(DataSet):
    """Your own images: `root/train/CLASS/*`, with `root/val` and `root/test` beside it, or `root/CLASS/*` to be split."""

    kind: Literal["folder"] = "folder"
    root: Path = Field(examples=["photos"], description="The folder of the images.")
    test_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="Share kept back as the test set where the root has no train folder."
    )
    store_size: int | Literal["auto"] = Field(
        default="auto", description="Side in pixels at which images are kept, 8 to 4096; auto: what the training size needs."
    )
    crop_mode: Literal["center", "squash", "border"] = Field(
        default="center",
        description="Which part of a photograph that is not square is evaluated: its center, or all of it, squashed to a square, "
        "or in a square with a border of the mean color (timm's names). Training crops are drawn from the same picture.",
    )
    on_bad: Literal["refuse", "skip"] = Field(
        default="refuse",
        description="What to do with unreadable images: refuse to start, or skip them. If there are several, a file lists them.",
    )

    @field_validator("store_size")
    @classmethod
    def _side(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 8 <= value <= 4096:
            raise ValueError(f"must be >= 8 and <= 4096, found {value} (or write auto)")
        return value

    def check(self) -> None:
        """Check that the root is a folder of folders.

        Raises:
            ZooError: the root is missing, a file or probably the wrong folder, or ZOO_CACHE_LIMIT is not a size.
        """
        check_root(self.absolute_root(), "data.root")
        store_cache.limit()

    def absolute_root(self) -> Path:
        """Return the root as an absolute path; symbolic links are not resolved."""
        return Path(os.path.abspath(expanded(self.root)))

    def load(self, seed: int, image_size: int, expected: Mapping[str, Any] | None = None) -> Splits:
        """Return the splits; decode the images on first use.

        The files are compared with the checkpoint before they are decoded, or afterwards if unreadable ones are skipped.

        Raises:
            ZooError: the folder is not a valid image folder, its files differ from those of the checkpoint, or an image
                cannot be read.
        """
        from zoo.data import unreadable
        from zoo.data.changes import check_unchanged
        from zoo.data.pixel_store import from_files
        from zoo.data.store_size import store_size

        skip = self.on_bad == "skip"
        tree, planned = self.plan(seed)
        if not skip:
            check_unchanged(planned, expected)
        files = tree.files()
        side = self.store_size if isinstance(self.store_size, int) else store_size(files, image_size)
        # Always bicubic, whatever the backbone's interpolation: images from a bilinear store are further from timm's (0.7 to
        # 1.1 of 255, against 0.4 to 0.8), and all backbones can share one store.
        pixels, made = from_files(files, side, "bicubic", "data.root", skip=skip)
        notes = [*tree.notes, f"decoded {len(files):,} images" if made else "images were decoded before"]
        if pixels.unreadable and pixels.folder is not None:
            notes.append(unreadable.note(pixels.unreadable, files, pixels.folder.name))
            planned = self._planned(tree, seed, pixels.unreadable)
        if skip:
            # Only now is it known which images are readable.
            check_unchanged(planned, expected)
        return planned.filled(pixels, notes)

    def listed(self, seed: int) -> Splits:
        """Return the splits without pixels and without files that `on_bad` skips; decode only if these are not known yet.

        Raises:
            ZooError: the folder is not a valid image folder.
        """
        from zoo.data.pixel_store import known_unreadable

        tree, planned = self.plan(seed)
        if self.on_bad == "refuse":
            return planned
        bad = known_unreadable(tree.files(), "bicubic", "data.root")
        # Any side in pixels will do: the pixels are not used.
        return self.load(seed, 1) if bad is None else self._planned(tree, seed, bad)

    def outline(self, seed: int) -> Outline:
        """Return the number of training images, including unreadable ones, and their size from the headers of a sample.

        Raises:
            ZooError: the folder is not a valid image folder.
        """
        from zoo.data.store_size import shorter_side

        tree, planned = self.plan(seed)
        return Outline(len(planned.train), shorter_side(tree.files()))

    def plan(self, seed: int) -> tuple[Tree, Splits]:
        """Return the files, and the splits without pixels: everything else is known from the list of files.

        Raises:
            ZooError: the folder is not a valid image folder.
        """
        from zoo.data import image_folder

        tree = image_folder.scan(self.absolute_root())
        return tree, self._planned(tree, seed)

    def _planned(self, tree: Tree, seed: int, leave_out: Collection[int] = ()) -> Splits:
        """Return the splits without pixels; `leave_out` has the indices of files to leave out, because they are unreadable.

        Raises:
            ZooError: a file was removed, or a class or a split is left without images.
        """
        from zoo.data.changes import describe_files
        from zoo.data.pixel_store import PixelStore
        from zoo.data.splits import make_splits

        root = self.absolute_root()
        sets = _splits_of(tree, root, PixelStore.empty(), self.test_fraction, leave_out)
        return make_splits(
            tree.classes,
            sets["train"],
            sets.get("test"),
            val=sets.get("val"),
            **self.limits(),
            seed=seed,
            listing=describe_files(tree, root, "data.root"),
        )


def _splits_of(tree: Tree, root: Path, pixels: PixelStore, test_fraction: float, leave_out: Collection[int]) -> dict[str, Split]:
    """Return the splits `train`, `val` and `test` that the folder has; without a train folder, split `test` off from all images.

    Raises:
        ZooError: all images of a split, or all training images of a class, are left out.
    """
    import numpy as np

    from zoo.data.splits import Origin, Split, stratified_split

    labels = [label for part in tree.parts.values() for _, label in part]
    # Paths are cut as text, because pathlib's relative_to takes ten seconds for a million files.
    above = len(os.path.join(root, ""))
    origin = Origin(files=[os.fspath(path)[above:].replace(os.sep, "/") for path in tree.files()])
    whole = Split.of(pixels, np.array(labels, np.int64), origin)
    ends = np.cumsum([len(part) for part in tree.parts.values()])
    kept = np.isin(np.arange(len(whole)), np.array(sorted(leave_out), np.int64), invert=True)
    rows = [part[kept[part]] for part in np.split(np.arange(len(whole)), ends[:-1])]
    sets = {name: whole.take(some) for name, some in zip(tree.parts, rows, strict=True)}
    if "all" in sets:
        # Test is split off before val and with a fixed seed, so that the test images do not depend on the run's seed.
        rest = sets.pop("all")
        if test_fraction:
            rest, sets["test"] = stratified_split(rest, test_fraction, seed=0)
        sets["train"] = rest
    todo = "replace its files or remove the folder"
    for name, part in sets.items():
        if name in tree.parts and not len(part):
            raise ZooError("data.root", f"{name} has no readable image", todo)
    left = np.bincount(sets["train"].targets, minlength=len(tree.classes))
    for name, count in zip(tree.classes, left, strict=True):
        if not count:
            raise ZooError("data.root", f"class '{name}' has no readable image", todo)
    return sets
