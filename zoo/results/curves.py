"""Draw the learning curves of a run as SVG.

matplotlib is imported only where it is used, and torch is not, so importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.results import canvas
from zoo.results.canvas import INK, LINE, MUTED, SIZE, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Color, dashes and marker of each split, distinct for color-blind readers too, and dark enough for text on white.
LOOKS = {"train": ("#6b6b6b", "-", "o"), "val": ("#0072b2", "-", "s"), "test": ("#b85000", "--", "D")}
# Splits whose value is written at the selected epoch; the first one with a value is used.
JUDGES = ("val", "test", "train")
# Maximum number of points of a line for which each has a marker; a longer line has only one, at its end.
MARKED = 12
# Inches from the figure's left edge, or its middle, to the axes, for the labels of the y axis.
LEFT = 0.5
# Inches to the right of the axes, for the last values of the lines.
RIGHT = 1.15
# Maximum number of ticks on the axis of epochs.
TICKS = 10


def draw_curves(
    history: Sequence[Mapping[str, float | None]], path: Path, title: str, *, selected_epoch: int | None = None
) -> None:
    """Draw loss, accuracy and learning rate over the epochs.

    Args:
        history: rows of `metrics.jsonl`, one for each epoch.
        path: path of the SVG.
        title: title of the picture.
        selected_epoch: the epoch whose weights were kept, which is marked; None for no mark.

    Raises:
        StorageError: the file cannot be written.
    """
    with canvas.style():
        figure = canvas.figure(title, 4.75)
        width = WIDTH / 2 - LEFT - RIGHT
        loss = canvas.panel(figure, (LEFT, 1.5, width, 2.3))
        accuracy = canvas.panel(figure, (WIDTH / 2 + LEFT, 1.5, width, 2.3))
        rate = canvas.panel(figure, (LEFT, 0.5, WIDTH - LEFT - RIGHT, 0.4))
        for axes in (loss, accuracy, rate):
            _epochs(axes, [int(row["epoch"] or 0) for row in history])
        _series(loss, history, "loss", "{:.4g}", selected_epoch)
        _series(accuracy, history, "accuracy", "{:.2f} %", selected_epoch)
        _rate(rate, history, selected_epoch)
        rate.set_xlabel("epoch", labelpad=2)
        canvas.store(figure, path, title)


def _series(axes: Axes, history: Sequence[Mapping[str, float | None]], metric: str, form: str, selected: int | None) -> None:
    """Draw a metric's line for each split, with its last value at the end, and mark the selected epoch."""
    scale = 100 if metric == "accuracy" else 1
    series = {split: [(epoch, scale * value) for epoch, value in _points(history, f"{split}.{metric}")] for split in LOOKS}
    series = {split: points for split, points in series.items() if points}
    values = [value for points in series.values() for _, value in points]
    axes.set_ylim(*(_percent_limits(values) if metric == "accuracy" else (0, _top(values))))
    axes.set_title("Loss" if metric == "loss" else "Accuracy, %", loc="left", pad=20, fontsize=10)
    axes.grid(axis="y")
    for split, points in series.items():
        color, dashes, marker = LOOKS[split]
        every = [*range(len(points))] if len(points) <= MARKED else [-1]
        style = {"color": color, "linestyle": dashes, "marker": marker, "markersize": 3.5, "markevery": every}
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
    """Return (epoch, value) for each epoch that has a finite value."""
    pairs = [(int(row["epoch"] or 0), row.get(key)) for row in history]
    return [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]


def _top(values: Sequence[float]) -> float:
    """Return the upper limit of an axis that starts at 0."""
    return 1.06 * max(values, default=0.0) or 1.0


def _percent_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return limits within 0 and 100 that fit the values, with margins that keep noise of less than a point small."""
    low, high = min(values, default=0.0), max(values, default=100.0)
    margin = max(0.07 * (high - low), 2.0)
    return max(0.0, low - margin), min(100.0, high + margin)


def _ends(axes: Axes, last: Mapping[str, float], form: str) -> None:
    """Write each line's name and last value at its end, moved apart where they would overlap."""
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
    """Return places near the wanted ascending ones, at least `gap` apart and at most `top` (all in points)."""
    places: list[float] = []
    for at in wanted:
        places.append(max(at, places[-1] + gap) if places else at)
    # Places that were pushed past the top come down again, and push the places below them.
    ceiling = top
    for index in reversed(range(len(places))):
        places[index] = min(places[index], ceiling)
        ceiling = places[index] - gap
    return places


def _selected(axes: Axes, epoch: int, text: str = "") -> None:
    """Draw a thin line at the selected epoch, and a text above it that stays within the panel's width."""
    axes.axvline(epoch, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    low, high = axes.get_xlim()
    wanted, last = (epoch - low) / (high - low), 1 - canvas.width(text) / axes.get_window_extent().width
    place = (max(0.0, min(wanted, last)), 1)
    axes.annotate(text, place, xycoords="axes fraction", xytext=(0, 5), textcoords="offset points", color=MUTED)


def _rate(axes: Axes, history: Sequence[Mapping[str, float | None]], selected: int | None) -> None:
    """Draw the learning rate at the end of each epoch, as a thin strip."""
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
    """Set ticks at whole epochs along the x axis: about `TICKS` at most, always including the first epoch."""
    first, last = min(epochs, default=1), max(epochs, default=1)
    span = last - first
    steps = (base * 10**power for power in range(9) for base in (1, 2, 5))
    step = next(step for step in steps if span / step <= TICKS)
    ticks = [tick for tick in range(first, last + 1) if tick == first or (tick % step == 0 and tick - first >= step / 2)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    margin = 0.02 * span or 0.5
    axes.set_xlim(first - margin, last + margin)
