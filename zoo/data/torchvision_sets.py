"""Data sets that torchvision downloads and reads; their pixels are stored once, so that later starts need no torchvision."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from zoo.data.data_set import DataSet
from zoo.data.root_check import check_not_a_file
from zoo.errors import ZooError
from zoo.system.files import cache_root, expanded

if TYPE_CHECKING:
    import numpy as np

    from zoo.data.splits import Split


# Whether a missing archive is downloaded.
_downloads: ContextVar[bool] = ContextVar("downloads", default=True)


class _Torchvision(DataSet):
    # The name of torchvision's Python class, and the number of image classes.
    torchvision_name: ClassVar[str]
    classes_known: ClassVar[int]
    root: Path = Field(
        default=Path("~/.cache/zoo/data"),
        validate_default=False,
        description="Folder of the archive, downloaded there on first use.",
    )

    def read(self) -> tuple[list[str], Split, Split | None]:
        """Return class names, training and test images; download the archive on first use.

        Raises:
            ZooError: the archive is damaged, or is missing and cannot be downloaded.
        """
        return torchvision_set(self.torchvision_name, expanded(self.root))

    def check(self) -> None:
        """Check that the root is not a file; the download creates a missing root.

        Raises:
            ZooError: the root is a file.
        """
        check_not_a_file(expanded(self.root), "data.root")

    def class_count(self) -> int:
        """Return the number of classes."""
        return self.classes_known


class Cifar10(_Torchvision):
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in 10 classes."""

    torchvision_name: ClassVar[str] = "CIFAR10"
    classes_known: ClassVar[int] = 10
    kind: Literal["cifar10"] = "cifar10"


class Cifar100(_Torchvision):
    """CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 pixels in 100 classes."""

    torchvision_name: ClassVar[str] = "CIFAR100"
    classes_known: ClassVar[int] = 100
    kind: Literal["cifar100"] = "cifar100"


class FashionMnist(_Torchvision):
    """Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 gray pixels in 10 classes."""

    torchvision_name: ClassVar[str] = "FashionMNIST"
    classes_known: ClassVar[int] = 10
    kind: Literal["fashion_mnist"] = "fashion_mnist"


@contextlib.contextmanager
def without_downloads() -> Iterator[None]:
    """Raise an error for a missing archive instead of downloading it, for callers that only inspect a data set."""
    token = _downloads.set(False)
    try:
        yield
    finally:
        _downloads.reset(token)


def torchvision_set(name: str, root: Path) -> tuple[list[str], Split, Split]:
    """Return the class names, training and test images of a torchvision data set, downloaded on first use.

    Raises:
        ZooError: its archive is damaged, or is missing and cannot be downloaded.
    """
    import numpy as np

    from zoo.data.pixel_store import FORMAT, PixelStore, stored, write
    from zoo.data.splits import Origin, Split

    def build(folder: Path) -> None:
        parts = [_read_archive(name, root, train) for train in (True, False)]
        write(folder, PixelStore.square(np.concatenate([images for images, _, _ in parts])), source=name)
        np.save(folder / "targets.npy", np.concatenate([targets for _, targets, _ in parts]), allow_pickle=False)
        about = {"classes": parts[0][2], "train_images": len(parts[0][1])}
        (folder / "about.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    # These data sets never change; their archives are checked against torchvision's MD5 sums when they are read.
    key = f"{name}-{FORMAT}"
    pixels, _ = stored(key, build)
    folder = cache_root() / "pixels" / key
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    targets = np.load(folder / "targets.npy", allow_pickle=False)
    first = about["train_images"]
    train, test = (
        Split(pixels, rows, targets[rows], origin)
        for rows, origin in zip(
            np.split(np.arange(len(targets)), [first]), (Origin(part="train"), Origin(part="test", first=first)), strict=True
        )
    )
    return about["classes"], train, test


def _damage_of(name: str, root: Path) -> str:
    """Return what is wrong with the existing files of CIFAR, or '' if nothing is or it is another data set."""
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


def _read_archive(name: str, root: Path, train: bool) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return pixels uint8 [N, 3, S, S], targets int64 [N] and class names."""
    import numpy as np
    import torchvision

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            data = getattr(torchvision.datasets, name)(str(root), train=train, download=_downloads.get())
    except Exception as error:  # network errors of several libraries, and errors of readers on damaged files
        damage = _damage_of(name, root)
        if not damage and not isinstance(error, OSError) and "download" not in str(error).lower():
            damage = f"{name} in {root} is damaged: {error}"
        if damage:
            raise ZooError("data.root", damage, "delete it to download it again") from None
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        what = f"{name} is not in {root}" + (f" and cannot be downloaded: {reason}" if _downloads.get() else "")
        todo = "put its archive there, or use data.kind=folder with your own images, or data.kind=digits"
        raise ZooError("data.root", what, todo) from None
    images = np.asarray(data.data)
    if images.ndim == 3:  # gray [N, S, S]
        images = np.repeat(images[..., None], 3, axis=3)
    return images.transpose(0, 3, 1, 2), np.asarray(data.targets, dtype=np.int64), list(data.classes)
