"""Decode one image file to RGB pixels, in the same way for every file format.

* Images are turned upright by their EXIF orientation.
* 16-bit gray is scaled to 8 bits (Pillow alone would clip it to white).
* Transparent images are placed on white; palette, CMYK and gray become RGB.
* A truncated file is an error, and is never filled up with gray.

This module imports neither torch nor other modules of zoo, so that worker processes start quickly.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, features

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
# Photo formats that cannot be read, unless a plug-in or Pillow's build supports them.
UNREAD = (".heic", ".heif", ".avif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf")
if "avif" in features.modules and features.check("avif"):
    EXTENSIONS += (".avif",)
with contextlib.suppress(ImportError):
    from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]

    register_heif_opener()
    EXTENSIONS += (".heic", ".heif")
HEIF = (".heic", ".heif")
UNREAD = tuple(ending for ending in UNREAD if ending not in EXTENSIONS)

# Most pixels of an image that is decoded; a header may claim any size.
MAX_PIXELS = 256_000_000

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}

# The EXIF tag of the orientation, and the transposition that turns an image upright for each of its values.
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


class Unreadable(Exception):
    """The error for a file that is not a complete image; its text says why.

    Attributes:
        passing: whether the system is at fault and not the file: no permission, no memory, a disk that does not respond.
    """

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


def open_rgb(path: str | Path) -> Image.Image:
    """Decode an image file upright and in RGB.

    Raises:
        Unreadable: the file cannot be read, is empty, truncated or not an image, or is larger than MAX_PIXELS.
    """
    with _reading():
        if os.path.getsize(path) == 0:
            raise Unreadable("empty file")
        if str(path).lower().endswith(UNREAD):
            raise Unreadable(f"in a format that zoo does not read: {unread_todo(path)}")
        with Image.open(path) as image:
            return loaded_rgb(image)


def unread_todo(path: str | Path) -> str:
    """Return advice for a photo in one of the formats in `UNREAD`."""
    return "pip install pillow-heif" if str(path).lower().endswith(HEIF) else "convert to JPEG or PNG"


def loaded_rgb(image: Image.Image) -> Image.Image:
    """Load the pixels of an opened Pillow image, and return it upright and in RGB.

    Raises:
        Unreadable: the image is truncated or damaged, has no pixels, or is larger than MAX_PIXELS.
    """
    with _reading():
        if image.width * image.height > MAX_PIXELS:
            raise Unreadable(f"{image.width} x {image.height} is more than {MAX_PIXELS // 1_000_000} million pixels")
        if not image.width * image.height:
            raise Unreadable(f"{image.width} x {image.height} pixels")
        image.load()
        return to_rgb(upright(image))


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever Pillow raises into an `Unreadable` that says why."""
    try:
        yield
    except Unreadable:
        raise
    except Image.UnidentifiedImageError:
        raise Unreadable("not an image") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MAX_PIXELS // 1_000_000} million pixels") from None
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise Unreadable(str(error.strerror).lower(), passing=True) from None
    except MemoryError:
        raise Unreadable("out of memory", passing=True) from None
    except Exception as error:  # Pillow's readers raise struct.error, zlib.error and many more on damaged files
        text = str(error) or type(error).__name__
        # An error with a number comes from the system, and says nothing about the file.
        passing = isinstance(error, OSError) and error.errno is not None
        raise Unreadable("truncated" if "truncated" in text.lower() else f"damaged: {text}", passing=passing) from None


def upright(image: Image.Image) -> Image.Image:
    """Turn an image upright by its EXIF orientation; return it unchanged if that cannot be read.

    `ImageOps.exif_transpose` is not used: it rewrites all EXIF data, and fails if any entry is damaged.
    """
    try:
        method = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow raises SyntaxError, struct.error and more; the pixels are intact
        return image
    return image if method is None else image.transpose(method)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        gray = np.asarray(image).astype(np.float64)
        # Mode "I" holds 16-bit PNGs too; values that fit in 8 bits are kept as they are.
        gray = gray / 257 if gray.max(initial=0) > 255 or image.mode != "I" else gray
        return Image.fromarray(np.clip(gray + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        gray = np.asarray(image)
        gray = gray * 255 if gray.max(initial=0) <= 1 else gray
        return Image.fromarray(np.clip(gray + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def decode_resized(path: str | Path, size: int | tuple[int, int], interpolation: str) -> tuple[np.ndarray, int, int]:
    """Decode a file and resize it to `size` (a side, or width and height), ignoring its aspect ratio.

    Returns:
        The pixels, uint8 [3, H, W], and the width and height of the upright image before it was resized.

    Raises:
        Unreadable: the file is not a complete image.
    """
    image = open_rgb(path)
    width, height = image.size
    target = (size, size) if isinstance(size, int) else size
    if image.size != target:
        image = image.resize(target, FILTERS[interpolation])
    return np.asarray(image).transpose(2, 0, 1), width, height  # [3, H, W]


def header_size(path: str) -> tuple[int, int]:
    """Return the width and height in a file's header, or (0, 0) if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return image.size
    except Exception:  # decoding will report what is wrong
        return 0, 0


def begin_worker() -> None:
    """Prepare a worker process: it ignores SIGTERM and SIGINT, and ends with the process that started it.

    That process stops its workers in an orderly way. If it was killed, they would wait for work forever.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    """Wait until a process has ended, then end this one."""
    wait([sentinel])
    os._exit(1)


@dataclass(frozen=True)
class DecodeJob:
    """A slice of the files, for a worker process to decode.

    Attributes:
        target: path of the pixel file, which already has its full size.
        shape: the shape of all its pixels, uint8 [N, 3, S, S].
        first: index of the first file of the slice.
        paths: the files of the slice.
        interpolation: bicubic, bilinear or lanczos.
    """

    target: str
    shape: tuple[int, ...]
    first: int
    paths: list[str]
    interpolation: str


@dataclass
class Decoded:
    """The result of decoding a slice of the files.

    Attributes:
        first: index of the first file of the slice.
        aspects: width over height of each image, float32 [n].
        bad: reasons why files cannot be read, by index.
        passing: the indices in `bad` for which the system is at fault and not the file.
    """

    first: int
    aspects: np.ndarray
    bad: dict[int, str] = field(default_factory=dict)
    passing: set[int] = field(default_factory=set)


def decode_range(job: DecodeJob) -> Decoded:
    """Decode a slice of the files straight into the pixel file."""
    pixels = np.memmap(job.target, dtype=np.uint8, mode="r+", shape=job.shape)  # [N, 3, S, S]
    found = Decoded(job.first, np.ones(len(job.paths), np.float32))
    with warnings.catch_warnings():
        # These are about EXIF entries and palettes; the pixels are intact.
        warnings.simplefilter("ignore")
        for offset, path in enumerate(job.paths):
            try:
                pixels[job.first + offset], width, height = decode_resized(path, job.shape[-1], job.interpolation)
                found.aspects[offset] = width / height
            except Unreadable as error:
                found.bad[job.first + offset] = str(error)
                if error.passing:
                    found.passing.add(job.first + offset)
    return found
