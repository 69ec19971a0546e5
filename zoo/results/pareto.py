"""The Pareto front, and a picture of the cost and score of backbones with names on the front.

A name is placed above and to the left of its point. No other point can be there: it would be cheaper and better, and the
named point would not be on the front. Each name is also moved above the previous one, so that names overlap neither each
other nor a point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.errors import ZooError
from zoo.results import canvas
from zoo.results.canvas import FAINT, INK, LINE, MUTED, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Picture formats by file extension.
KINDS = {".svg": "svg", ".png": "png"}
# Color of a point: pale, because there can be a thousand of them.
POINT = "#9ecae1"
# Color of the front and its points, distinct from POINT for color-blind readers too.
FRONT = "#b85000"
# Font size of a name, in points.
SIZE = 8.0
# Minimum height of a panel, in inches.
HEIGHT = 3.6
# Space between a point and its name, in points.
GAP = 3.0
# Space at the edges of a panel, in points.
EDGE = 8.0
# Space above each panel for its title and below it for its labels, in inches.
AROUND = 0.75


class Dot(NamedTuple):
    """A backbone: its name, its cost (in the unit of the axis) and its score (higher is better)."""

    name: str
    cost: float
    score: float


class Axis(NamedTuple):
    """A panel: the label of its horizontal axis, and its dots."""

    label: str
    dots: Sequence[Dot]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the positions of the (cost, value) pairs on the Pareto front, the cheapest first.

    A pair is not on the front if another pair costs no more and has at least the same value. Of equal pairs, the first is kept.
    """
    best: list[int] = []
    for position in sorted(range(len(points)), key=lambda one: (points[one][0], -points[one][1])):
        if not best or points[position][1] > points[best[-1]][1]:
            best.append(position)
    return best


def front_of(dots: Sequence[Dot]) -> list[Dot]:
    """Return the dots on the Pareto front, the cheapest first; of equal dots, the first by name."""
    ordered = sorted(dots, key=lambda dot: dot.name)
    return [ordered[position] for position in pareto_front([(dot.cost, dot.score) for dot in ordered])]


def check(path: Path) -> str:
    """Return the format of a picture from its file extension.

    Raises:
        ZooError: the extension is unknown, the path is a folder, or its parent folder is missing.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise ZooError("--plot", f"{path}: not a supported picture format", "give a name that ends in .svg or .png")
    if not path.parent.is_dir():
        raise ZooError("--plot", f"{path}: there is no folder {path.parent}", "make it first")
    if path.is_dir():
        raise ZooError("--plot", f"{path}: is a folder", "give the name of a file")
    return kind


def draw_pareto(axes: Sequence[Axis], score: str, path: Path, title: str) -> None:
    """Draw a panel for each axis, one above the other, and write the picture.

    Args:
        axes: the panels.
        score: label of the vertical axes.
        path: path of the picture; its extension sets the format.
        title: title of the picture.

    Raises:
        ZooError: the path is invalid, or the file cannot be written.
    """
    kind = check(path)
    with canvas.style():
        fronts = [front_of(axis.dots) for axis in axes]
        heights = [max(HEIGHT, 1.35 * len(best) * LINE / 72) for best in fronts]
        figure = canvas.figure(title, AROUND + sum(heights) + AROUND * len(axes))
        top = figure.get_size_inches()[1] - AROUND
        for axis, best, height in zip(axes, fronts, heights, strict=True):
            top -= height
            panel = canvas.panel(figure, (0.75, top, WIDTH - 1.05, height))
            _scatter(panel, axis, best, score)
            top -= AROUND
        try:
            canvas.write(figure, path, title, kind)
        except OSError as error:
            raise ZooError("--plot", f"{path}: cannot be written: {error.strerror}", "give another file") from None


def _scatter(axes: Axes, axis: Axis, best: Sequence[Dot], score: str) -> None:
    """Draw all dots, and on top of them the front as steps, with its names."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xscale("log")
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    axes.set_xlabel(axis.label)
    axes.set_ylabel(score)
    low, high = _limits([dot.cost for dot in axis.dots], log=True)
    bottom, top = _limits([dot.score for dot in axis.dots])
    names = [canvas.printable(dot.name) for dot in best]
    box = axes.get_window_extent()
    across = [_place(dot.cost, low, high, log=True) for dot in best]
    up = [_place(dot.score, bottom, top) for dot in best]
    left = _room(across, [canvas.width(name, SIZE) + GAP + EDGE for name in names], box.width - EDGE)
    above = _room(
        [1 - share for share in up], [LINE * (len(best) - index) + GAP for index in range(len(best))], box.height - EDGE
    )
    # Extend the limits of the axes to make room for names.
    axes.set_xlim(
        low * (low / high) ** (left / (box.width - left - EDGE)), high * (high / low) ** (EDGE / (box.width - left - EDGE))
    )
    unit = (top - bottom) / (box.height - above - EDGE)
    axes.set_ylim(bottom - EDGE * unit, top + above * unit)
    ticks = _ticks(low, high)
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    # Above the best dot there are only names, so no ticks.
    axes.set_yticks(
        [
            tick
            for tick in MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(bottom, top)
            if bottom - EDGE * unit <= tick <= top + EDGE * unit
        ]
    )
    axes.scatter([dot.cost for dot in axis.dots], [dot.score for dot in axis.dots], s=9, color=POINT, linewidths=0)
    axes.step([dot.cost for dot in best], [dot.score for dot in best], where="post", color=FRONT, linewidth=1)
    axes.scatter([dot.cost for dot in best], [dot.score for dot in best], s=14, color=FRONT, zorder=3)
    _name(axes, best, names, unit)


def _ticks(low: float, high: float) -> list[float]:
    """Return ticks from low to high: powers of ten, or also 3, or 2 and 5, or all multiples, until there are at least four."""
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [step * 10.0**power for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    return ticks


def _limits(values: Sequence[float], *, log: bool = False) -> tuple[float, float]:
    """Return the smallest and the largest value; if they are equal, limits below and above."""
    low, high = min(values), max(values)
    if low < high:
        return low, high
    return (low / 2, high * 2) if log else (low - 1, high + 1)


def _place(value: float, low: float, high: float, *, log: bool = False) -> float:
    """Return the relative position of a value between low (0) and high (1)."""
    return math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)


def _room(shares: Sequence[float], wanted: Sequence[float], length: float) -> float:
    """Return the points to keep free at the start of a length, so that each place in the rest has enough room before it.

    Args:
        shares: places, as shares of the rest.
        wanted: points of room needed before each place.
        length: the length in points.
    """
    # Each place needs room + share * (length - room) >= wanted.
    needed = [(want - share * length) / (1 - share) for share, want in zip(shares, wanted, strict=True) if share < 1]
    return min(max([EDGE, *needed]), 0.8 * length)


def _name(axes: Axes, best: Sequence[Dot], names: Sequence[str], unit: float) -> None:
    """Write the names of the front, each above the previous one; a thin line leads down to a dot that is further away."""
    floor = float("-inf")
    style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": SIZE, "color": INK}
    for dot, name in zip(best, names, strict=True):
        base = max(dot.score + GAP * unit, floor)
        floor = base + LINE * unit
        if base > dot.score + GAP * unit:
            axes.plot([dot.cost, dot.cost], [dot.score, base + LINE / 2 * unit], color=MUTED, linewidth=0.5, zorder=1)
        axes.annotate(name, (dot.cost, base), xytext=(-GAP, 0), textcoords="offset points", annotation_clip=False, **style)
