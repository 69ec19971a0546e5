"""The cache of image features on the disk: list, load, save and remove them.

A file `features/KEY.safetensors` holds the tensor `features`, float32 [N, D], and in its header the backbone, the data and
the image size. Its modification time is when it was last used. Only the standard library is imported at the top, so that
`zoo cache` answers at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import StorageError
from zoo.system.files import STAGING, cache_root, free_bytes, remove, staged

if TYPE_CHECKING:
    from torch import Tensor

# Most bytes that all files may take together: 3,200 images of 1,280 features are 16 MB.
MOST_BYTES = 4_000_000_000
# The name of the tensor in a file.
TENSOR = "features"


@dataclass(frozen=True)
class FeatureFile:
    """A file of features on the disk.

    Attributes:
        path: the file.
        backbone, data: names of the backbone that computed the features, and of the images.
        image_size: side of the images in pixels.
        images, width: the shape [N, D].
        size: bytes of the file.
        used: when it was last used, in seconds since 1970.
    """

    path: Path
    backbone: str
    data: str
    image_size: int
    images: int
    width: int
    size: int
    used: float


def folder() -> Path:
    """Return the folder of all features."""
    return cache_root() / "features"


def files() -> list[FeatureFile]:
    """Return all files of the cache, the least recently used first."""
    found = [file for path in sorted(folder().glob("[!.]*.safetensors")) if (file := _read(path)) is not None]
    return sorted(found, key=lambda file: file.used)


def _read(path: Path) -> FeatureFile | None:
    """Read the header of a file: its length in 8 bytes, then JSON. Return None if it is damaged."""
    try:
        with open(path, "rb") as handle:
            header = json.loads(handle.read(struct.unpack("<Q", handle.read(8))[0]))
        images, width = header[TENSOR]["shape"]
        about = header["__metadata__"]
        status = path.stat()
        names = str(about["backbone"]), str(about["data"])
        return FeatureFile(path, *names, int(about["image_size"]), images, width, status.st_size, status.st_mtime)
    except (OSError, ValueError, KeyError, TypeError, struct.error, MemoryError, OverflowError):
        return None


def clear() -> int:
    """Remove all features, and partly written files of killed processes; return the bytes freed."""
    freed = 0
    for path in sorted(folder().glob("*.safetensors*")) + sorted(folder().glob(f".*{STAGING}")):
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            freed += size
    return freed


def has(key: str) -> bool:
    """Check whether there is a file of features with a key, and its header is intact."""
    return _read(folder() / f"{key}.safetensors") is not None


def load(key: str) -> Tensor | None:
    """Return the features of a key, float32 [N, D], and mark them as used now; None if they are missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder() / f"{key}.safetensors"
    try:
        found = load_file(path)[TENSOR]
    except (OSError, SafetensorError, KeyError):
        return None
    with contextlib.suppress(OSError):  # a read-only cache
        os.utime(path)
    return found


def save(key: str, features: Tensor, about: Mapping[str, str]) -> None:
    """Write a file of features, and remove the least recently used files beyond `MOST_BYTES`.

    Args:
        key: a key that changes with everything that the features depend on.
        features: float32 [N, D].
        about: `backbone`, `data` and `image_size`, for `zoo cache`.

    Raises:
        StorageError: they cannot be written.
    """
    from safetensors.torch import save_file

    path = folder() / f"{key}.safetensors"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(path) as staging:
            save_file({TENSOR: features.contiguous()}, staging, metadata=dict(about))
    except Exception as error:
        from safetensors import SafetensorError

        if not isinstance(error, OSError | SafetensorError):
            raise
        what = f"features cannot be written: {error}; {free_bytes(path):,} bytes are free"
        raise StorageError(str(path.parent), what, "free some space or set ZOO_CACHE to another folder") from None
    found = files()
    total = sum(file.size for file in found)
    for file in found:
        if total > MOST_BYTES and file.path != path:
            remove(file.path)
            total -= file.size
