"""A picture of what backbones cost and how good they are, the Pareto front named.

The front's names stand above and to the left of its points, where by its nature no other point is: what lies further left
is lower. Going up the front, each name is moved above the one before it. So no two names can overlap, nor a name and a point.
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


KINDS = {".svg": "svg", ".png": "png"}
POINT, FRONT = "#9ecae1", "#b85000"
# Points of a name, and inches at least of a panel.
SIZE, HEIGHT = 8.0, 3.6
# Room in points between a point and its name, and at the edges of a panel.
GAP, EDGE = 3.0, 8.0


class Dot(NamedTuple):
    """A backbone: its name, what it costs, and how good it is."""

    name: str
    cost: float
    score: float


class Axis(NamedTuple):
    """What is drawn along the bottom of a panel."""

    label: str
    dots: Sequence[Dot]


def pareto_front(dots: Sequence[Dot]) -> list[Dot]:
    """The dots that no other one beats in both cost and score, from the cheapest up."""
    best: list[Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.cost, -dot.score, dot.name)):
        if not best or dot.score > best[-1].score:
            best.append(dot)
    return best


def check(path: Path) -> str:
    """The kind of picture that a path asks for.

    Raises:
        ZooError: another kind, or there is no folder for it.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise ZooError("--plot", f"{path}: not a kind of picture", "give a name that ends in .svg or .png")
    if not path.parent.is_dir():
        raise ZooError("--plot", f"{path}: there is no folder {path.parent}", "make it first")
    if path.is_dir():
        raise ZooError("--plot", f"{path}: is a folder", "give the name of a file")
    return kind


def draw_pareto(axes: Sequence[Axis], score: str, path: Path, title: str) -> None:
    """Draw a panel for each axis, one above the other.

    Raises:
        ZooError: the file cannot be written.
    """
    kind = check(path)
    with canvas.style():
        fronts = [pareto_front(axis.dots) for axis in axes]
        heights = [max(HEIGHT, 1.35 * len(best) * LINE / 72) for best in fronts]
        figure = canvas.figure(title, 0.75 + sum(heights) + 0.75 * len(axes))
        top = figure.get_size_inches()[1] - 0.75
        for axis, best, height in zip(axes, fronts, heights, strict=True):
            top -= height
            panel = canvas.panel(figure, (0.75, top, WIDTH - 1.05, height))
            _scatter(panel, axis, best, score)
            top -= 0.75
        try:
            canvas.write(figure, path, title, kind)
        except OSError as error:
            raise ZooError("--plot", f"{path}: cannot be written: {error.strerror}", "give another file") from None


def _scatter(axes: Axes, axis: Axis, best: Sequence[Dot], score: str) -> None:
    """All dots, and over them the front as steps, its dots named."""
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
    # The axes' limits, moved out by the room for names.
    axes.set_xlim(
        low * (low / high) ** (left / (box.width - left - EDGE)), high * (high / low) ** (EDGE / (box.width - left - EDGE))
    )
    unit = (top - bottom) / (box.height - above - EDGE)
    axes.set_ylim(bottom - EDGE * unit, top + above * unit)
    ticks = _ticks(low, high)
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    # Above the best there are names only.
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
    """Powers of ten from low to high, and what is between them where they are few."""
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [step * 10.0**power for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    return ticks


def _limits(values: Sequence[float], *, log: bool = False) -> tuple[float, float]:
    """The least and the largest, apart where they are one."""
    low, high = min(values), max(values)
    if low < high:
        return low, high
    return (low / 2, high * 2) if log else (low - 1, high + 1)


def _place(value: float, low: float, high: float, *, log: bool = False) -> float:
    """A value's share of the way from low to high."""
    return math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)


def _room(shares: Sequence[float], wanted: Sequence[float], length: float) -> float:
    """How much of a length must stay free at its start, so that before each share of the rest there is as much as wanted."""
    # Each of them needs room + share * (length - room) >= wanted.
    needed = [(want - share * length) / (1 - share) for share, want in zip(shares, wanted, strict=True) if share < 1]
    return min(max([EDGE, *needed]), 0.8 * length)


def _name(axes: Axes, best: Sequence[Dot], names: Sequence[str], unit: float) -> None:
    """The front's names, each above the one before; a thin line leads down to its dot."""
    floor = float("-inf")
    style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": SIZE, "color": INK}
    for dot, name in zip(best, names, strict=True):
        base = max(dot.score + GAP * unit, floor)
        floor = base + LINE * unit
        if base > dot.score + GAP * unit:
            axes.plot([dot.cost, dot.cost], [dot.score, base + LINE / 2 * unit], color=MUTED, linewidth=0.5, zorder=1)
        axes.annotate(name, (dot.cost, base), xytext=(-GAP, 0), textcoords="offset points", annotation_clip=False, **style)
