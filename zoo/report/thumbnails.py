"""Thumbnails as data URIs, within a byte budget.

The pixel store holds images squashed to squares; thumbnails get their original aspect ratio back.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

# Pixels of the longer side of a picture.
SIDE = 112
# Maximum longer side, in pixels, of a picture stored as PNG; JPEG would save nothing.
EXACT = 16
# Maximum longer side, in pixels, of a picture that is enlarged with sharp pixels rather than blurred.
PIXELATED = 40
# JPEG quality, as Pillow counts it.
QUALITY = 82


@dataclass(frozen=True)
class Thumbnail:
    """A picture for a page.

    Attributes:
        uri: the picture as a data URI.
        width, height: size in pixels.
    """

    uri: str
    width: int
    height: int

    @property
    def pixelated(self) -> bool:
        """True if the picture is so small that it should be enlarged with sharp pixels."""
        return max(self.width, self.height) <= PIXELATED


def thumbnail(pixels: np.ndarray, aspect: float = 1.0, side: int = SIDE) -> Thumbnail:
    """Return an image as a small picture.

    Args:
        pixels: uint8 [3, S, S], squashed to a square.
        aspect: width over height of the original image.
        side: maximum longer side in pixels; smaller images are not enlarged.
    """
    longer = min(side, pixels.shape[-1])
    size = (longer, max(1, round(longer / aspect))) if aspect >= 1 else (max(1, round(longer * aspect)), longer)
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    exact = longer <= EXACT
    if exact:
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(data_uri(buffer.getvalue(), "png" if exact else "jpeg"), *size)


def data_uri(content: bytes, kind: str) -> str:
    """Return the content of a picture as a data URI; `kind` is its image type, such as `png`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


class Budget:
    """The bytes that pictures may take, first come, first served."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, picture: Thumbnail) -> Thumbnail | None:
        """Return the picture, or None if it no longer fits; the budget is then spent."""
        if len(picture.uri) > self.left:
            self.left = 0
            return None
        self.left -= len(picture.uri)
        return picture
