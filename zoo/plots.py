"""Pictures of a run as SVG: its curves over the epochs, and the confusion matrix of its test.

matplotlib is imported where it is used, and torch not at all: importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo import figures
from zoo.errors import StorageError
from zoo.figures import BAR, INK, LINE, MUTED, SIZE, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colour, dashes and marker of a split: apart for colour-blind readers too, and dark enough for text on white.
LOOKS = {"train": ("#6b6b6b", "-", "o"), "val": ("#0072b2", "-", "s"), "test": ("#b85000", "--", "D")}
# The split whose value is written at the selected epoch: the first that has one there.
JUDGES = ("val", "test", "train")
# A line of more points has no markers but its last.
MARKED = 12
# Colour of a class without images.
EMPTY = "#e0e0e0"

# Classes: with more there are no counts in the cells, or not a label at each.
WRITTEN, LABELLED = 20, 40
# Inches: the widest class name, the recall's bars and numbers, a cell of a small matrix, and the largest matrix.
NAME, RECALL, CELL, SIDE = 1.7, 1.45, 1.1, 6.2


def curves(history: Sequence[Mapping[str, float | None]], path: Path, title: str, *, selected_epoch: int | None = None) -> None:
    """Draw loss, accuracy and learning rate over the epochs of `metrics.jsonl`.

    Raises:
        StorageError: the file cannot be written.
    """
    with figures.style():
        figure = figures.figure(title, 4.75)
        width = WIDTH / 2 - 0.5 - 1.15
        loss = figures.panel(figure, (0.5, 1.5, width, 2.3))
        accuracy = figures.panel(figure, (WIDTH / 2 + 0.5, 1.5, width, 2.3))
        rate = figures.panel(figure, (0.5, 0.5, WIDTH - 0.5 - 1.15, 0.4))
        for axes in (loss, accuracy, rate):
            _epochs(axes, [int(row["epoch"] or 0) for row in history])
        _series(loss, history, "loss", "{:.4g}", selected_epoch)
        _series(accuracy, history, "accuracy", "{:.2f} %", selected_epoch)
        _rate(rate, history, selected_epoch)
        rate.set_xlabel("epoch", labelpad=2)
        _store(figure, path, title)


def confusion(matrix: np.ndarray, classes: Sequence[str], path: Path, title: str) -> None:
    """Draw counts [C, C] of true classes (rows) and predicted ones (columns), and each class's recall.

    Raises:
        StorageError: the file cannot be written.
    """
    with figures.style():
        names = [figures.shortened(figures.printable(name), NAME * 72) for name in classes]
        widest = max(map(figures.width, names)) / 72
        side = min(WIDTH - 0.9 - widest - RECALL, CELL * len(names), SIDE)
        cell = side * 72 / len(names)
        shown = range(0, len(names), 1 if len(names) <= LABELLED else math.ceil(LINE / cell))
        angle = _angle(widest * 72, cell * shown.step)
        bottom = 1.15 + max(widest * math.sin(math.radians(angle)), SIZE / 72)
        left = (WIDTH - side - RECALL + widest + 0.3) / 2
        figure = figures.figure(title, bottom + side + 0.95)
        axes = figures.panel(figure, (left, bottom, side, side))
        _cells(axes, matrix, cell)
        labels = [names[position] for position in shown]
        axes.set_yticks(shown, labels)
        axes.set_xticks(shown, labels, rotation=angle, rotation_mode="anchor")
        for label in axes.get_xticklabels():
            label.set(ha="right" if angle else "center", va="center" if angle else "top")
        axes.set_ylabel("true class")
        axes.set_xlabel("predicted class")
        _recall(figures.panel(figure, (left + side + 0.1, bottom, 0.7, side)), matrix, cell)
        _key(figures.panel(figure, (left, 0.45, min(side, 3.0), 0.12)))
        figures.line(figure, _summary(matrix), 0.55, color=MUTED)
        _store(figure, path, title)


# ------------------------------------------------------------------------------------- curves


def _series(axes: Axes, history: Sequence[Mapping[str, float | None]], metric: str, form: str, selected: int | None) -> None:
    """The splits' lines of a metric, each with its last value at its end, and what was selected."""
    scale = 100 if metric == "accuracy" else 1
    series = {split: [(epoch, scale * value) for epoch, value in _points(history, f"{split}.{metric}")] for split in LOOKS}
    series = {split: points for split, points in series.items() if points}
    values = [value for points in series.values() for _, value in points]
    axes.set_ylim(*(_percent_limits(values) if metric == "accuracy" else (0, _top(values))))
    axes.set_title("Loss" if metric == "loss" else "Accuracy, %", loc="left", pad=20, fontsize=10)
    axes.grid(axis="y")
    for split, points in series.items():
        colour, dashes, marker = LOOKS[split]
        every = [*range(len(points))] if len(points) <= MARKED else [-1]
        style = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 3.5, "markevery": every}
        axes.plot(*zip(*points, strict=True), linewidth=1.6, clip_on=False, **style)
    _ends(axes, {split: points[-1][1] for split, points in series.items()}, form)
    if selected is None:
        return
    there = {split: dict(points)[selected] for split, points in series.items() if selected in dict(points)}
    judge = next((split for split in JUDGES if split in there), None)
    _selected(axes, selected, f"selected: epoch {selected}" + (f", {judge} {form.format(there[judge])}" if judge else ""))
    if judge:
        ring = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgecolor": LOOKS[judge][0]}
        axes.plot([selected], [there[judge]], clip_on=False, **ring)


def _points(history: Sequence[Mapping[str, float | None]], key: str) -> list[tuple[int, float]]:
    """(epoch, value) where the epoch has a finite value."""
    pairs = [(int(row["epoch"] or 0), row.get(key)) for row in history]
    return [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]


def _top(values: Sequence[float]) -> float:
    """The upper limit of an axis that starts at 0."""
    return 1.06 * max(values, default=0.0) or 1.0


def _percent_limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits within 0 and 100 that show the values large, but not noise of less than a point."""
    low, high = min(values, default=0.0), max(values, default=100.0)
    margin = max(0.07 * (high - low), 2.0)
    return max(0.0, low - margin), min(100.0, high + margin)


def _ends(axes: Axes, last: Mapping[str, float], form: str) -> None:
    """Name the lines at their ends, moved apart where they would cover each other."""
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height
    ranked = sorted(last, key=lambda split: last[split])
    wanted = [(last[split] - low) / (high - low) * height for split in ranked]
    for split, at in zip(ranked, _apart(wanted, LINE, height), strict=True):
        axes.annotate(
            f"{split} {form.format(last[split])}",
            (1, at / height),
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=LOOKS[split][0],
        )


def _apart(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Ascending places at least `gap` apart within 0 and `top`, near the wanted ones."""
    places: list[float] = []
    for at in wanted:
        places.append(max(at, places[-1] + gap) if places else at)
    # What was pushed past the top comes down again, and moves what is under it.
    ceiling = top
    for index in reversed(range(len(places))):
        places[index] = min(places[index], ceiling)
        ceiling = places[index] - gap
    return places


def _selected(axes: Axes, epoch: int, text: str = "") -> None:
    """A thin line at the selected epoch, and a text above it that stays within the panel's sides."""
    axes.axvline(epoch, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    low, high = axes.get_xlim()
    wanted, last = (epoch - low) / (high - low), 1 - figures.width(text) / axes.get_window_extent().width
    place = (max(0.0, min(wanted, last)), 1)
    axes.annotate(text, place, xycoords="axes fraction", xytext=(0, 5), textcoords="offset points", color=MUTED)


def _rate(axes: Axes, history: Sequence[Mapping[str, float | None]], selected: int | None) -> None:
    """The learning rate at the end of each epoch, as a thin strip."""
    points = _points(history, "lr")
    top = max((value for _, value in points), default=0.0)
    axes.set_ylim(0, _top([top]))
    axes.set_yticks([])
    axes.set_title(f"Learning rate, at most {top:.3g}", loc="left", pad=5, fontsize=SIZE, color=MUTED)
    if points:
        axes.plot(*zip(*points, strict=True), color=INK, linewidth=1.2, marker=".", markevery=[-1], clip_on=False)
    if selected is not None:
        _selected(axes, selected)


def _epochs(axes: Axes, epochs: Sequence[int]) -> None:
    """Whole epochs along the x axis, at most ten of them, the first one always."""
    first, last = min(epochs, default=1), max(epochs, default=1)
    span = last - first
    steps = (base * 10**power for power in range(9) for base in (1, 2, 5))
    step = next(step for step in steps if span / step <= 10)
    ticks = [tick for tick in range(first, last + 1) if tick == first or (tick % step == 0 and tick - first >= step / 2)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    margin = 0.02 * span or 0.5
    axes.set_xlim(first - margin, last + margin)


# ---------------------------------------------------------------------------------- confusion


def _shares(matrix: np.ndarray) -> np.ndarray:
    """Rows [C, C] of counts as shares of their sum; NaN in the row of a class without images."""
    totals = matrix.sum(1, keepdims=True)
    return np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)


def _colours(shares: np.ndarray) -> np.ndarray:
    """Colours uint8 [..., 4] of shares, grey for NaN. By the square root: one mistake of a hundred is visible."""
    import matplotlib

    return matplotlib.colormaps["Blues"].with_extremes(bad=EMPTY)(np.ma.masked_invalid(np.sqrt(shares)), bytes=True)


def _cells(axes: Axes, matrix: np.ndarray, cell: float) -> None:
    """The matrix: a coloured cell of `cell` points for each count, the counts in them while there are few."""
    count = len(matrix)
    colours = _colours(_shares(matrix))
    axes.imshow(colours, aspect="auto", interpolation="nearest", extent=(-0.5, count - 0.5, count - 0.5, -0.5))
    axes.spines[["top", "right"]].set_visible(True)
    if count <= LABELLED:
        edges = np.arange(count - 1) + 0.5
        axes.set_xticks(edges, minor=True)
        axes.set_yticks(edges, minor=True)
        axes.grid(which="minor")
    if count > WRITTEN:
        return
    texts = [[f"{value:,}" if cell > 40 else str(value) for value in row] for row in matrix.tolist()]
    size = min(SIZE, SIZE * (cell - 3) / max(figures.width(text) for row in texts for text in row))
    for (row, column), value in np.ndenumerate(matrix):
        ink = _contrast(colours[row, column]) if value else MUTED
        axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=size, color=ink)


def _contrast(colour: np.ndarray) -> str:
    """White or black, whichever is read better on a colour uint8 [4] (WCAG's relative luminance)."""
    linear = ((colour[:3] / 255 + 0.055) / 1.055) ** 2.4
    return "#ffffff" if linear @ (0.2126, 0.7152, 0.0722) < 0.18 else "#000000"


def _recall(axes: Axes, matrix: np.ndarray, cell: float) -> None:
    """A bar for each class's recall, level with its row, its value beside it while the rows are high enough."""
    count = len(matrix)
    recalls = np.diagonal(_shares(matrix))
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
    axes.barh(range(count), np.nan_to_num(recalls), height=min(0.8, 16 / cell), color=BAR)
    for position, recall in enumerate(recalls.tolist()):
        text = "no images" if math.isnan(recall) else f"{recall:.1%}".replace("%", " %")
        axes.text(1.06, position, text, va="center", color=MUTED if math.isnan(recall) else INK)


def _key(axes: Axes) -> None:
    """What the colours mean."""
    axes.imshow(_colours(np.linspace(0, 1, 256)[None] ** 2), aspect="auto", extent=(0, 1, 0, 1))
    marks = (0, 0.01, 0.1, 0.25, 0.5, 1)
    axes.set_xticks(np.sqrt(marks), [f"{mark:.0%}".replace("%", " %" if mark == 1 else "") for mark in marks])
    axes.set_yticks([])
    axes.set_title("share of the true class's images", loc="left", fontsize=SIZE, color=MUTED, pad=4)


def _summary(matrix: np.ndarray) -> str:
    """How many images there are, and how many of them are on the diagonal."""
    total = int(matrix.sum())
    share = f"{int(matrix.trace()) / total:.2%}".replace("%", " %") if total else "none"
    return f"{share} of {total:,} images in their own class"


def _angle(widest: float, room: float) -> int:
    """Degrees at which labels `widest` points wide do not touch, `room` points from one to the next."""
    if widest + 6 <= room:
        return 0
    return 45 if room * math.sin(math.radians(45)) >= LINE else 90


def _store(figure: Figure, path: Path, title: str) -> None:
    """Write the SVG into the run folder."""
    try:
        figures.write(figure, path, title)
    except OSError as error:
        raise StorageError(str(path), f"cannot be written: {error.strerror}", "free some space, then --resume") from None
