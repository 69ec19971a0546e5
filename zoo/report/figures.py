"""The plots of the page, as data URIs: learning curves, confusion matrix, calibration.

Plots that the run has drawn itself are reused. matplotlib is loaded only if one has to be drawn.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zoo.report.analysis import reliability, risk_coverage
from zoo.report.facts import Facts
from zoo.report.scored import Scored
from zoo.report.thumbnails import data_uri
from zoo.results import canvas
from zoo.results.canvas import BAR, FAINT, INK, MUTED, SIZE, WIDTH
from zoo.results.confusion import draw_confusion
from zoo.results.curves import draw_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Maximum number of classes for which the confusion matrix has axes and labels; with more, it would take a megabyte.
DRAWN = 200
# Maximum side of a matrix without axes, in pixels.
PIXELS = 250
# Color of the lines, the same as that of the validation curve.
LINE_COLOR = "#0072b2"
# Maximum number of points of a line; more would not be visible.
POINTS = 400


def curves(facts: Facts) -> str:
    """Return the plot of loss, accuracy and learning rate over the epochs; '' before the first epoch has ended."""
    if not facts.history:
        return ""
    result = facts.result
    # Without a result, the picture is left over from an earlier end of the run.
    there = facts.run / "curves.svg" if result else None
    title = _title(facts)
    return _svg(there, lambda path: draw_curves(facts.history, path, title, selected_epoch=result and result.selected_epoch))


def confusion(facts: Facts, scored: Scored) -> str:
    """Return the confusion matrix: with labels up to `DRAWN` classes, else as colors only."""
    classes = facts.classes
    if len(classes) > DRAWN:
        return data_uri(_matrix(scored, len(classes)), "png")
    there = facts.run / "confusion.svg" if scored.split == "test" else None
    return _svg(there, lambda path: draw_confusion(_counts(scored, len(classes)), classes, path, _title(facts)))


def calibration(scored: Scored) -> str:
    """Return the reliability diagram and the risk-coverage curve."""
    return _svg(None, lambda path: _draw_calibration(scored, path))


def cells_per_pixel(classes: int) -> int:
    """Return how many classes each pixel of a matrix without axes covers, in both directions."""
    return -(-classes // PIXELS)


def _title(facts: Facts) -> str:
    if facts.recipe is None:
        return facts.name
    return f"{facts.recipe.name}: {facts.recipe.backbone.name} on {facts.recipe.data.kind}"


def _svg(there: Path | None, draw: Callable[[Path], None]) -> str:
    """Return the picture at the path `there` if it can be read, else the one made by `draw`."""
    try:
        if there is not None:
            return data_uri(there.read_bytes(), "svg+xml")
    except OSError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.svg"
        draw(path)
        return data_uri(path.read_bytes(), "svg+xml")


def _counts(scored: Scored, classes: int) -> np.ndarray:
    """Return counts int64 [C, C]: the row is the true class, the column the predicted class."""
    flat = np.bincount(scored.labels * classes + scored.predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def _matrix(scored: Scored, classes: int) -> bytes:
    """Return the confusion matrix of many classes as a PNG; a pixel's darkness is the square root of its share of the row."""
    step = cells_per_pixel(classes)
    side = -(-classes // step)
    counts = np.zeros((side, side))
    np.add.at(counts, (scored.labels // step, scored.predicted // step), 1)
    shares = np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1))[..., None]  # [side, side, 1]
    light, dark = (np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) for color in ("#f7fbff", "#08306b"))
    buffer = io.BytesIO()
    Image.fromarray((light + (dark - light) * shares).round().astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _draw_calibration(scored: Scored, path: Path) -> None:
    with canvas.style():
        title = "How far its certainty can be trusted"
        figure = canvas.figure(title, 4.3)
        side = 2.75
        _reliability(canvas.panel(figure, (0.75, 0.65, side, side)), scored)
        _risk(canvas.panel(figure, (0.75 + side + 1.15, 0.65, WIDTH - side - 2.35, side)), scored)
        canvas.store(figure, path, title)


def _reliability(axes: Axes, scored: Scored) -> None:
    """Draw the accuracy of each confidence bin with its interval; the area of a dot grows with the bin's number of images."""
    bins = reliability(scored)
    axes.set_title("Right, against how certain it is", loc="left", pad=10, fontsize=10)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _percent_axis(axes, "x", (0, 0.25, 0.5, 0.75, 1))
    _percent_axis(axes, "y", (0, 0.25, 0.5, 0.75, 1))
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    axes.set_xlabel("probability of the predicted class")
    axes.set_ylabel("right")
    places, shares = [one.confidence for one in bins], [one.accuracy for one in bins]
    for one in bins:
        axes.plot([one.confidence] * 2, [one.low, one.high], color=BAR, linewidth=3, solid_capstyle="butt", clip_on=False)
    axes.plot(places, shares, color=LINE_COLOR, linewidth=1.2, clip_on=False)
    most = max((one.count for one in bins), default=1)
    areas = [12 + 60 * one.count / most for one in bins]
    axes.scatter(places, shares, s=areas, color=LINE_COLOR, clip_on=False, zorder=3)


def _risk(axes: Axes, scored: Scored) -> None:
    """Draw the risk-coverage curve: the share of mistakes among the most certain images."""
    coverage, risk = risk_coverage(scored)
    taken = np.unique(np.linspace(0, len(coverage) - 1, POINTS).round().astype(int))
    axes.set_title("Mistakes, where only the most certain images are taken", loc="left", pad=10, fontsize=10)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(1.15 * float(risk.max(initial=0)), 0.01))
    _percent_axis(axes, "x", (0, 0.2, 0.4, 0.6, 0.8, 1))
    _percent_axis(axes, "y", axes.get_yticks())
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    axes.set_xlabel("images taken, the most certain first")
    axes.set_ylabel("mistakes among them")
    axes.plot(coverage[taken], risk[taken], color=LINE_COLOR, linewidth=1.6, clip_on=False)
    axes.plot(coverage[-1:], risk[-1:], color=LINE_COLOR, marker="o", markersize=4, clip_on=False)
    text = f"all: {risk[-1]:.1%}".replace("%", " %")
    style = {"textcoords": "offset points", "ha": "right", "va": "bottom", "fontsize": SIZE, "color": INK}
    axes.annotate(text, (1, float(risk[-1])), xytext=(-2, 6), **style)  # type: ignore[arg-type]


def _percent_axis(axes: Axes, axis: str, ticks: Sequence[float] | np.ndarray) -> None:
    """Set ticks at shares, labeled as percentages; ticks beyond the axis are left out."""
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    inside = [float(tick) for tick in ticks if low <= tick <= high]
    labels = [f"{100 * tick:g} %" if tick == inside[-1] else f"{100 * tick:g}" for tick in inside]
    (axes.set_xticks if axis == "x" else axes.set_yticks)(inside, labels)
