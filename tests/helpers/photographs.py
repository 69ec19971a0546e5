"""Write one picture as every kind of file that zoo reads. All files must look the same once they are decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, features

Writer = Callable[[Image.Image, Path], None]
SIDES = ("left", "right", "top", "bottom")
SIZE = (48, 36)
ORIENTATION = 0x0112
# For each EXIF value, how a rotated camera stores an upright picture: the inverse of what the value asks the reader to do.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def picture(side: str, seed: int) -> Image.Image:
    """Draw a gray picture in RGB, wider than high: the named side is white, the rest is dark with some noise.

    Any wrong orientation changes the class of some sides, and a picture that is clipped to white has no class.
    """
    wide, high = SIZE
    gray = np.random.default_rng(seed).integers(20, 90, (high, wide))
    across, down = np.arange(wide)[None, :], np.arange(high)[:, None]
    bright = {"left": across < wide / 2, "right": across >= wide / 2, "top": down < high / 2, "bottom": down >= high / 2}[side]
    gray = np.where(bright, 255, gray).astype(np.uint8)
    return Image.fromarray(np.repeat(gray[:, :, None], 3, axis=2))


def _plain(**options: object) -> Writer:
    return lambda image, path: image.save(path, **options)


def _turned(value: int, **options: object) -> Writer:
    """Return a function that stores an image as a rotated camera does, with the EXIF value for it."""

    def write(image: Image.Image, path: Path) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = value
        image.transpose(STORED[value]).save(path, exif=exif, **options)

    return write


def _as(mode: str, **options: object) -> Writer:
    return lambda image, path: image.convert(mode).save(path, **options)


def _deep(image: Image.Image, path: Path) -> None:
    """Write gray with 16 bits."""
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)


def _shares(image: Image.Image, path: Path) -> None:
    """Write gray as floats from 0 to 1."""
    Image.fromarray(np.asarray(image.convert("L"), np.float32) / 255).save(path)


def _see_through(mode: str, **options: object) -> Writer:
    """Return a function that stores the white part as transparent black."""

    def write(image: Image.Image, path: Path) -> None:
        gray = np.asarray(image.convert("L"))
        white = gray == 255
        below, alpha = np.where(white, 0, gray).astype(np.uint8), np.where(white, 0, 255).astype(np.uint8)
        Image.merge("LA", [Image.fromarray(below), Image.fromarray(alpha)]).convert(mode).save(path, **options)

    return write


def _palette(image: Image.Image, path: Path) -> None:
    """Write a palette image: the white part has the first entry, which is black and transparent."""
    gray = np.asarray(image.convert("L"))
    indexed = Image.fromarray(np.where(gray == 255, 0, gray).astype(np.uint8), "P")
    indexed.putpalette([level for level in range(256) for _ in range(3)])
    indexed.save(path, transparency=0)


KINDS: dict[str, Writer] = {
    "rgb.png": _plain(),
    "gray.png": _as("L"),
    "gray16.png": _deep,
    "rgba.png": _see_through("RGBA"),
    "gray_alpha.png": _see_through("LA"),
    "palette.png": _palette,
    "turned.png": _turned(6),
    "rgb.jpg": _plain(quality=95),
    "gray.jpeg": _as("L", quality=95),
    "cmyk.jpg": _as("CMYK", quality=95),
    **{f"exif{value}.jpg": _turned(value, quality=95) for value in STORED},
    "rgb.tif": _plain(),
    "gray16.tiff": _deep,
    "float.tif": _shares,
    "turned.tif": _turned(8),
    "rgb.bmp": _plain(),
    "palette.gif": _palette,
    "rgb.webp": _plain(lossless=True),
    "rgba.webp": _see_through("RGBA", lossless=True),
    "turned.webp": _turned(3, lossless=True),
    "rgb.ppm": _plain(),
    "gray.pgm": _as("L"),
    "gray16.pgm": _deep,
}
if features.check("avif"):
    KINDS["rgb.avif"] = _plain(quality=95)
