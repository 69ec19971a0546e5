"""Draw a leaderboard: the score against minutes of training, and against milliseconds per image or the number of parameters.

Names are in a column beside the panel, each with a thin line to its dot, so that they overlap neither each other nor a dot.
Bars are 95 % intervals. They are clipped at the panel, because an interval from two runs can be wider than all scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import ZooError
from zoo.metrics import LOWER_IS_BETTER
from zoo.ranking.leaderboard import MINUTES, PARAMS, SPEED, Leaderboard, Row, cost, fronts_of
from zoo.ranking.tables import SHARES
from zoo.results import canvas
from zoo.results.canvas import FAINT, INK, LINE, MUTED, WIDTH
from zoo.results.pareto import FRONT, check
from zoo.system.console import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The label of each front's axis.
LABELS = {
    MINUTES: "minutes of training, a run",
    SPEED: "milliseconds an image, while scoring the test set",
    PARAMS: "parameters, millions",
}
# Color of rows that are not on the front.
BEHIND = "#4a7fb5"
# Minimum height of a panel, in inches.
HEIGHT = 2.8
# Space above each panel for its title and below it for its labels, in inches.
AROUND = 0.75
# Maximum width of the column of names, in inches.
NAMES = 2.9
# Maximum number of rows for which all are named; with more rows, only those on the front are.
MOST_NAMES = 40
# The axis is logarithmic if the largest cost exceeds the smallest by more than this factor.
LOGARITHMIC = 4


def draw(board: Leaderboard, path: Path) -> None:
    """Draw a panel for each front into an .svg or .png file, with the rows that `fronts_of` returns for it.

    Raises:
        ZooError: no row has a finite score, or the file cannot be written.
    """
    kind = check(path)
    panels = [(front, rows) for front, rows in fronts_of(board.rows) if rows]
    if not panels:
        raise ZooError("--plot", f"no row has a {board.by} that is a number", "order by another metric")
    with canvas.style():
        heights = [max(HEIGHT, 1.15 * len(_named(rows, front)) * LINE / 72) for front, rows in panels]
        figure = canvas.figure(title(board), AROUND + sum(heights) + AROUND * len(panels))
        top = figure.get_size_inches()[1] - AROUND
        for (front, rows), height in zip(panels, heights, strict=True):
            top -= height
            _panel(figure, board, front, rows, (top, height))
            top -= AROUND
        try:
            canvas.write(figure, path, title(board), kind)
        except OSError as error:
            raise ZooError("--plot", f"{path}: cannot be written: {error.strerror}", "give another file") from None


def title(board: Leaderboard) -> str:
    """Return the picture's title."""
    return f"{_label(board)} and cost of {plural(len(board.rows), 'row')}; bars: 95 % intervals; orange: the Pareto front"


def alternative_text(board: Leaderboard) -> str:
    """Return the alternative text of the picture, for readers who cannot see it."""
    fronts = {name: [row.name for row in board.rows if name in row.pareto] for name in LABELS}
    said = [f"on the front by {LABELS[name]}: {', '.join(names)}" for name, names in fronts.items() if names]
    return f"{_label(board)} of {len(board.rows)} rows against what they cost; " + "; ".join(said)


def _label(board: Leaderboard) -> str:
    split, _, metric = board.by.partition(".")
    return f"{split} {metric.replace('_', ' ')}"


def _named(rows: Sequence[Row], front: str) -> list[Row]:
    """Return the rows whose names are written."""
    return list(rows) if len(rows) <= MOST_NAMES else [row for row in rows if front in row.pareto]


def _panel(figure: Figure, board: Leaderboard, front: str, rows: Sequence[Row], place: tuple[float, float]) -> None:
    """Draw dots with their intervals, the front as steps, and the names; `place` is the panel's bottom and height in inches."""
    named = _named(rows, front)
    texts = [canvas.ellipsize(canvas.printable(row.name), NAMES * 72) for row in named]
    room = max(map(canvas.width, texts), default=0) / 72 + 0.5
    axes = canvas.panel(figure, (0.75, place[0], WIDTH - 0.95 - room, place[1]))
    factor = 100 if board.by.rpartition(".")[2] in SHARES else 1
    costs = [cost(row, front) / (1e6 if front == PARAMS else 1) for row in rows]
    scores = [factor * row.score.mean for row in rows]
    _frame(axes, board, LABELS[front], costs, (rows, factor))
    for row, x, y in zip(rows, costs, scores, strict=True):
        color = FRONT if front in row.pareto else BEHIND
        if row.score.interval is not None:
            axes.plot([x, x], [factor * bound for bound in row.score.interval], color=color, linewidth=1, alpha=0.6, zorder=2)
        axes.scatter([x], [y], s=22, color=color, linewidths=0, zorder=3)
    best = sorted((x, y) for row, x, y in zip(rows, costs, scores, strict=True) if front in row.pareto)
    axes.step([x for x, _ in best], [y for _, y in best], where="post", color=FRONT, linewidth=1, zorder=1)
    dots = dict(zip((row.name for row in rows), zip(costs, scores, strict=True), strict=True))
    _name(axes, [dots[row.name] for row in named], texts)


def _frame(axes: Axes, board: Leaderboard, label: str, costs: Sequence[float], shown: tuple[Sequence[Row], float]) -> None:
    """Set limits, ticks and labels; the limits include all scores, their deviations, and the intervals of single runs."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    rows, factor = shown
    bounds = [bound for row in rows for bound in _around(row)]
    low, high = factor * min(bounds), factor * max(bounds)
    margin = 0.08 * (high - low) or 0.5 * factor / 100
    axes.set_ylim(low - margin, high + margin)
    if board.by.rpartition(".")[2] in LOWER_IS_BETTER:
        axes.invert_yaxis()
    least, most = min(costs), max(costs)
    if most > LOGARITHMIC * least > 0:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.2, most * 1.2)
        powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 1)
        ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        axes.set_xticks([tick for tick in ticks if least / 1.2 <= tick <= most * 1.2])
        axes.set_xticks([], minor=True)
    else:
        margin = 0.08 * (most - least) or 0.1 * most or 1.0
        axes.set_xlim(least - margin, most + margin)
        axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    axes.set_ylabel(_label(board) + (", percent" if factor == 100 else ""))


def _around(row: Row) -> tuple[float, float]:
    middle, spread = row.score.mean, row.score.deviation
    if spread is not None:
        return middle - spread, middle + spread
    return row.score.interval or (middle, middle)


def _name(axes: Axes, dots: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """Write a name for each dot beside the panel, in the order of their heights and at least one line apart."""
    box = axes.get_window_extent()
    points = axes.transData.transform(np.array(dots)).tolist() if dots else []
    order = sorted(range(len(dots)), key=lambda place: points[place][1])
    heights, floor = {}, box.y0 + LINE / 2
    for place in order:
        heights[place] = floor = max(points[place][1], floor)
        floor += LINE
    # Names that were pushed above the panel push the others back down.
    ceiling = box.y1 - LINE / 4
    for place in reversed(order):
        heights[place] = ceiling = min(heights[place], ceiling)
        ceiling -= LINE
    for place, text in enumerate(texts):
        ends = axes.transData.inverted().transform(np.array([points[place], [box.x1 + 14, heights[place]]]))
        axes.plot(ends[:, 0], ends[:, 1], color=MUTED, linewidth=0.4, alpha=0.7, clip_on=False, zorder=0)
        at = ((box.x1 + 18 - box.x0) / box.width, (heights[place] - box.y0) / box.height)
        axes.text(*at, text, transform=axes.transAxes, va="center", color=INK, clip_on=False)
