"""Training images as the model saw them, and a contact sheet of them as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.results import canvas
from zoo.results.canvas import INK, MUTED
from zoo.system.files import write_file
from zoo.system.table import percent

# Minimum side of a picture on a sheet, in pixels; smaller images are enlarged by a whole number.
LEAST_SIDE = 112
# Maximum number of pictures in a row of a sheet, and maximum width of the row in pixels.
COLUMNS = 8
ROW_WIDTH = 1900
# Pixels between pictures, around the sheet, and from one line of text to the next.
GAP = 12
MARGIN = 20
LINE = 18
# Font sizes of a label and of the title, in pixels.
TEXT = 13
TITLE = 17


@dataclass(frozen=True)
class Seen:
    """The first images of a training step, after augmentation.

    Attributes:
        step: the step, counted from 0.
        total: number of images in the step.
        pixels: uint8 [n, 3, T, T], with the backbone's normalization undone.
        labels: for each image, its classes and their shares of the target, the largest first; one class unless it was mixed.
        names: names of the images.
    """

    step: int
    total: int
    pixels: np.ndarray
    labels: Sequence[Sequence[tuple[str, float]]]
    names: Sequence[str]

    def lines(self, position: int) -> list[str]:
        """Return an image's labels as lines of text: `cat`, or `cat 70 %` and `dog 30 %` if it was mixed."""
        parts = self.labels[position]
        if len(parts) == 1:
            return [parts[0][0]]
        return [f"{name} {_share(share)}" for name, share in parts]

    def about(self) -> str:
        """Return a description of the images, for a title."""
        shown, side = len(self.names), self.pixels.shape[-1]
        part = f"all {self.total}" if shown == self.total else f"{shown} of {self.total}"
        return f"step {self.step}: {part} images, {side} px"


def _share(share: float) -> str:
    """Return a share of a target in whole percent."""
    return "< 1 %" if share < 0.005 else percent(share)


def labels_of(targets: np.ndarray, classes: Sequence[str]) -> list[list[tuple[str, float]]]:
    """Return the labels of a batch, from targets int64 [n], or float [n, C] if images were mixed."""
    if targets.ndim == 1:
        return [[(classes[int(label)], 1.0)] for label in targets]
    rows: list[list[tuple[str, float]]] = []
    for shares in targets:
        found = np.flatnonzero(shares > 0)
        best = found[np.argsort(-shares[found], kind="stable")]
        rows.append([(classes[int(label)], float(shares[label])) for label in best])
    return rows


def draw_sheet(seen: Seen, path: Path, title: str) -> None:
    """Draw the images in rows with their labels and names below, at their own size or enlarged by a whole number.

    Args:
        seen: the images.
        path: path of the PNG.
        title: the line above the images.

    Raises:
        OSError: the file cannot be written.
    """
    side = seen.pixels.shape[-1]
    cell = side * max(1, -(-LEAST_SIDE // side))
    columns = max(1, min(COLUMNS, len(seen.names), ROW_WIDTH // (cell + GAP)))
    rows = -(-len(seen.names) // columns)
    texts = [
        [*((text, INK) for text in seen.lines(position)), (name.rpartition("/")[2], MUTED)]
        for position, name in enumerate(seen.names)
    ]
    high = cell + max(map(len, texts)) * LINE + GAP
    heading = 2 * LINE
    wide = 2 * MARGIN + columns * (cell + GAP) - GAP
    # A single image is narrower than the title, so leave room for the title.
    size = (max(wide, 480), 2 * MARGIN + heading + rows * high - GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    _text(draw, (MARGIN, MARGIN - 4), f"{title}, {seen.about()}", size[0] - 2 * MARGIN, TITLE, INK)
    for position, lines in enumerate(texts):
        left, top = MARGIN + position % columns * (cell + GAP), MARGIN + heading + position // columns * high
        picture = Image.fromarray(np.ascontiguousarray(seen.pixels[position].transpose(1, 2, 0)))
        sheet.paste(picture.resize((cell, cell), Image.Resampling.NEAREST), (left, top))
        for down, (text, color) in enumerate(lines):
            _text(draw, (left, top + cell + 2 + down * LINE), text, cell, TEXT, color)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_file(path, buffer.getvalue())


def _text(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, room: int, size: int, color: str) -> None:
    """Write a line of text at most `room` pixels wide, in the font of all pictures."""
    from matplotlib.font_manager import findfont

    font = ImageFont.truetype(findfont("DejaVu Sans"), size)
    draw.text(place, canvas.ellipsize(canvas.printable(text), room, size), fill=color, font=font)
