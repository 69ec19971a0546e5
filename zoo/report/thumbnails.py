"""Small pictures as data URIs, within a budget of bytes.

The pixel store keeps images squashed to squares: here they get their own shape back.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

# Pixels of the longer side of a picture.
SIDE = 112
# Longer side up to which a picture is kept without loss: JPEG would save nothing.
EXACT = 16
# Longer side up to which a picture is enlarged so that its pixels are seen, rather than blurred.
PIXELATED = 40
# Pillow's quality of a JPEG.
QUALITY = 82


@dataclass(frozen=True)
class Thumbnail:
    """A picture for a page.

    Attributes:
        uri: it as a data URI.
        width, height: in pixels.
    """

    uri: str
    width: int
    height: int

    @property
    def pixelated(self) -> bool:
        """It is so small that its pixels should be seen."""
        return max(self.width, self.height) <= PIXELATED


def thumbnail(pixels: np.ndarray, aspect: float = 1.0, side: int = SIDE) -> Thumbnail:
    """Return an image as a small picture.

    Args:
        pixels: uint8 [3, S, S], squashed to a square.
        aspect: width over height of the image as it was.
        side: pixels of the longer side; a smaller image keeps its own.
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
    """Return a picture of a kind such as `png` as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


class Budget:
    """Bytes that pictures may take: whoever asks first gets them."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, picture: Thumbnail) -> Thumbnail | None:
        """Return the picture, or None where it no longer fits."""
        if len(picture.uri) > self.left:
            self.left = 0
            return None
        self.left -= len(picture.uri)
        return picture
