"""Draw the confusion matrix of a test set as SVG.

matplotlib is imported only where it is used, and torch is not, so importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.results import canvas
from zoo.results.canvas import BAR, INK, LINE, MUTED, SIZE, WIDTH
from zoo.system.console import plural
from zoo.system.table import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Maximum number of classes of a picture: with more, its cells are smaller than a pixel, and it takes gigabytes of memory.
MOST_CLASSES = 2000
# Color of the row of a class without images.
EMPTY = "#e0e0e0"
# Maximum number of classes for which counts are written in the cells; with more, they do not fit.
WRITTEN = 20
# Maximum number of classes for which every label and recall is written.
LABELLED = 40
# Maximum width of a class name in inches; longer names are shortened.
NAME = 1.7
# Width of the bars and numbers of the recall, in inches.
RECALL = 1.45
# Maximum side of a cell in inches, so that a small matrix does not fill the figure.
CELL = 1.1
# Maximum side of the matrix in inches.
SIDE = 6.2
# Maximum height of a recall bar in points.
BAR_POINTS = 16
# Cells wider than this, in points, have counts with thousands separators.
WIDE_CELL = 40
# Relative luminance (WCAG) below which white text on a color is more legible than black text.
DARK = 0.18


def draw_confusion(matrix: np.ndarray, classes: Sequence[str], path: Path, title: str) -> None:
    """Draw a confusion matrix, and the recall of each class.

    Args:
        matrix: counts int64 [C, C]; a row is a true class, a column a predicted class.
        classes: names of the C classes.
        path: path of the SVG.
        title: title of the picture.

    Raises:
        StorageError: the file cannot be written.
    """
    with canvas.style():
        names = [canvas.ellipsize(canvas.printable(name), NAME * 72) for name in classes]
        widest = max(map(canvas.width, names)) / 72
        side = min(WIDTH - 0.9 - widest - RECALL, CELL * len(names), SIDE)
        cell = side * 72 / len(names)
        shown = range(0, len(names), 1 if len(names) <= LABELLED else math.ceil(LINE / cell))
        angle = _angle(widest * 72, cell * shown.step)
        bottom = 1.15 + max(widest * math.sin(math.radians(angle)), SIZE / 72)
        left = (WIDTH - side - RECALL + widest + 0.3) / 2
        figure = canvas.figure(title, bottom + side + 0.95)
        axes = canvas.panel(figure, (left, bottom, side, side))
        _cells(axes, matrix, cell)
        labels = [names[position] for position in shown]
        axes.set_yticks(shown, labels)
        axes.set_xticks(shown, labels, rotation=angle, rotation_mode="anchor")
        for label in axes.get_xticklabels():
            label.set(ha="right" if angle else "center", va="center" if angle else "top")
        axes.set_ylabel("true class")
        axes.set_xlabel("predicted class")
        _recall(canvas.panel(figure, (left + side + 0.1, bottom, 0.7, side)), matrix, cell)
        _key(canvas.panel(figure, (left, 0.45, min(side, 3.0), 0.12)))
        canvas.line(figure, _summary(matrix), 0.55, color=MUTED)
        canvas.store(figure, path, title)


def _shares(matrix: np.ndarray) -> np.ndarray:
    """Return counts [C, C] as shares of their row, float64 [C, C]; NaN in the row of a class without images."""
    totals = matrix.sum(1, keepdims=True)  # [C, 1]
    return np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)


def _colors(shares: np.ndarray) -> np.ndarray:
    """Return colors uint8 [..., 4] for the square roots of shares [...], so that 1 % is visible; NaN is gray."""
    import matplotlib

    return matplotlib.colormaps["Blues"].with_extremes(bad=EMPTY)(np.ma.masked_invalid(np.sqrt(shares)), bytes=True)


def _cells(axes: Axes, matrix: np.ndarray, cell: float) -> None:
    """Draw a colored cell of `cell` points for each count, with the count in it for at most `WRITTEN` classes."""
    count = len(matrix)
    colors = _colors(_shares(matrix))  # [C, C, 4]
    axes.imshow(colors, aspect="auto", interpolation="nearest", extent=(-0.5, count - 0.5, count - 0.5, -0.5))
    axes.spines[["top", "right"]].set_visible(True)
    if count <= LABELLED:
        edges = np.arange(count - 1) + 0.5
        axes.set_xticks(edges, minor=True)
        axes.set_yticks(edges, minor=True)
        axes.grid(which="minor")
    if count > WRITTEN:
        return
    texts = [[f"{value:,}" if cell > WIDE_CELL else str(value) for value in row] for row in matrix.tolist()]
    size = min(SIZE, SIZE * (cell - 3) / max(canvas.width(text) for row in texts for text in row))
    for (row, column), value in np.ndenumerate(matrix):
        ink = _contrast(colors[row, column]) if value else MUTED
        axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=size, color=ink)


def _contrast(color: np.ndarray) -> str:
    """Return white or black, whichever is more legible on a color uint8 [4], by WCAG's relative luminance."""
    linear = ((color[:3] / 255 + 0.055) / 1.055) ** 2.4  # [3]
    return "#ffffff" if linear @ (0.2126, 0.7152, 0.0722) < DARK else "#000000"


def _recall(axes: Axes, matrix: np.ndarray, cell: float) -> None:
    """Draw a bar for the recall of each class beside its row, with the value for at most `LABELLED` classes."""
    count = len(matrix)
    recalls = np.diagonal(_shares(matrix))  # [C]
    edges = np.arange(count + 1) - 0.5
    axes.set_xlim(0, 1)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks([0, 1], ["0", "100 %"])
    axes.tick_params(axis="x", pad=3)
    axes.set_title("recall", loc="left", fontsize=SIZE, color=MUTED, pad=5)
    if count > LABELLED:
        axes.stairs(np.nan_to_num(recalls), edges, orientation="horizontal", fill=True, color=BAR)
        return
    axes.barh(range(count), np.nan_to_num(recalls), height=min(0.8, BAR_POINTS / cell), color=BAR)
    for position, recall in enumerate(recalls.tolist()):
        text = "no images" if math.isnan(recall) else percent(recall, 1)
        axes.text(1.06, position, text, va="center", color=MUTED if math.isnan(recall) else INK)


def _key(axes: Axes) -> None:
    """Draw the legend of the colors."""
    axes.imshow(_colors(np.linspace(0, 1, 256)[None] ** 2), aspect="auto", extent=(0, 1, 0, 1))
    marks = (0, 0.01, 0.1, 0.25, 0.5, 1)
    axes.set_xticks(np.sqrt(marks), [f"{mark:.0%}".replace("%", " %" if mark == 1 else "") for mark in marks])
    axes.set_yticks([])
    axes.set_title("share of the true class's images", loc="left", fontsize=SIZE, color=MUTED, pad=4)


def _summary(matrix: np.ndarray) -> str:
    """Return the line under the title: the number of images, and the share on the diagonal."""
    total = int(matrix.sum())
    share = percent(int(matrix.trace()) / total, 2) if total else "none"
    return f"{share} of {plural(total, 'image')} in their own class"


def _angle(widest: float, room: float) -> int:
    """Return the angle in degrees at which labels at most `widest` points wide and `room` points apart do not overlap."""
    if widest + 6 <= room:
        return 0
    return 45 if room * math.sin(math.radians(45)) >= LINE else 90
