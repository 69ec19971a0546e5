"""Draw `throughput.svg`: the images/s of each model as bars with their spread, and against parameters and top-1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.bench.rows import number
from zoo.errors import StorageError
from zoo.models import catalog
from zoo.results import canvas
from zoo.results.pareto import pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


# Color and marker of each mode, distinct for color-blind readers too.
LOOKS = {"train": ("#0072b2", "s"), "infer": ("#b85000", "o")}
VERBS = {"train": "training", "infer": "inference"}
# Height of a model's bar, in inches.
BAR = 0.2
# Room for the names of the models beside the bars, in inches.
NAME = 2.6
# Height of a panel with a Pareto front, in inches.
FRONT = 2.9
# Distance between a mark and its name, in points.
NEAR = 6.0
# Room around a name, in points.
MARGIN = 1.5
Row = Mapping[str, Any]
Box = tuple[float, float, float, float]
Spot = tuple[float, float]


@dataclass(frozen=True)
class Against:
    """A quantity that images/s are drawn against.

    Args:
        what: its name.
        label: label of the axis.
        better: adjective for a model with a larger value, such as `larger`.
        value: returns the value of a row, or None; larger values are better.
        log: whether the axis is logarithmic.
    """

    what: str
    label: str
    better: str
    value: Callable[[Row], float | None]
    log: bool


def top1(row: Row) -> float | None:
    """Return the ImageNet-1k top-1 in percent that timm publishes for the pretrained weights, or None if there is none."""
    entry = catalog.named(str(row["model"]))
    return entry.top1 if entry else None


# More parameters count as better: accuracy usually grows with them, and the smallest model is often the fastest too.
PARAMETERS = Against("parameters", "parameters, millions", "larger", lambda row: row.get("param_count"), log=True)
ACCURACY = Against(
    "top-1", "ImageNet-1k top-1 of the pretrained weights, %, at the size timm publishes it for", "more accurate", top1, log=False
)


def draw_throughput(rows: Sequence[Row], path: Path, device: str) -> None:
    """Draw the measured rows.

    Args:
        rows: rows of a benchmark, each with `status` ok.
        path: path of the SVG file.
        device: name of the hardware, for the title.

    Raises:
        StorageError: the file cannot be written.
    """
    modes = [mode for mode in LOOKS if any(row.get(f"{mode}_samples_per_sec") for row in rows)]
    rows = sorted(rows, key=lambda row: -(row.get(f"{modes[0]}_samples_per_sec") or 0))
    title = f"Throughput on {device}"
    with canvas.style():
        bars = len(rows) * (BAR * len(modes) + 0.1)
        fewest = min(row.get("processes") or 1 for row in rows)
        alone = [row for row in rows if (row.get("processes") or 1) == fewest]
        # A single accuracy cannot be compared with others.
        shown = [PARAMETERS, *([ACCURACY] if len({top1(row) for row in alone} - {None}) > 1 else [])]
        fronts = [(mode, against) for against in shown for mode in modes]
        height = 0.85 + bars + 0.2 + FRONT * len(fronts) + 0.1
        figure = canvas.figure(title, height)
        canvas.line(figure, _settings(rows), 0.55, color=canvas.MUTED)
        names = [canvas.ellipsize(_named(row), NAME * 72) for row in rows]
        left = 0.35 + max(map(canvas.width, names)) / 72
        axes = canvas.panel(figure, (left, height - 0.85 - bars, canvas.WIDTH - left - 1.9, bars))
        _bars(axes, rows, names, modes)
        for place, (mode, against) in enumerate(reversed(fronts)):
            panel = canvas.panel(figure, (0.75, 0.6 + place * FRONT, canvas.WIDTH - 1.15, FRONT - 0.95))
            _front(panel, alone, mode, against)
        try:
            canvas.write(figure, path, title)
        except OSError as error:
            todo = "free some space, then give the same command again"
            raise StorageError("--out", f"{path}: cannot be written: {error.strerror}", todo) from None


def _named(row: Row) -> str:
    processes = row.get("processes") or 1
    return canvas.printable(str(row["model"])) + (f" x{processes}" if processes > 1 else "")


def _settings(rows: Sequence[Row]) -> str:
    """Return the settings that the rows share, or their ranges."""
    mode = "train" if "train_img_size" in rows[0] else "infer"
    parts = []
    for column, form in ((f"{mode}_img_size", "{} px"), (f"{mode}_batch_size", "batch {}"), ("threads", "{} threads")):
        values = sorted({row[column] for row in rows if row.get(column)})
        parts += [form.format(values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}")] if values else []
    kinds = sorted(
        {f"{row['precision']}{' channels_last' if row['channels_last'] else ''}" for row in rows if "precision" in row}
    )
    return ", ".join([*parts, " or ".join(kinds), "medians with 10th and 90th percentiles of the steps"])


def _bars(axes: Axes, rows: Sequence[Row], names: Sequence[str], modes: Sequence[str]) -> None:
    """Draw a bar for each model and mode, in the order of the rows from top to bottom."""
    from matplotlib.patches import Patch

    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis="y", pad=4, labelcolor=canvas.INK)
    axes.set_xticks([])
    axes.spines[["bottom", "left"]].set_visible(False)
    high = 0.8 / len(modes)
    top = max(row.get(f"{mode}_samples_per_sec_p90") or row.get(f"{mode}_samples_per_sec") or 0 for row in rows for mode in modes)
    axes.set_xlim(0, top)
    for place, mode in enumerate(modes):
        column, color = f"{mode}_samples_per_sec", LOOKS[mode][0]
        for position, row in enumerate(rows):
            if not row.get(column):
                continue
            value, low, up = (row.get(f"{column}{end}") or row[column] for end in ("", "_p10", "_p90"))
            at = position - 0.4 + high * (place + 0.5)
            axes.barh(at, value, height=high * 0.9, color=color, alpha=0.75)
            axes.plot([low, up], [at, at], color=canvas.INK, linewidth=1.1, marker="|", markersize=5, clip_on=False)
            text = f"{number(value)}  ({number(low)}-{number(up)})"
            axes.annotate(text, (up, at), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8, color=canvas.INK)
    axes.set_title("Images per second", loc="left", pad=6, fontsize=10)
    key = [Patch(color=LOOKS[mode][0], alpha=0.75, label=VERBS[mode]) for mode in modes]
    axes.legend(
        handles=key, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2, fontsize=canvas.SIZE
    )


def _front(axes: Axes, rows: Sequence[Row], mode: str, against: Against) -> None:
    """Draw the images per second of a mode on a logarithmic axis against another quantity; name the models on the front."""
    column, (color, marker) = f"{mode}_samples_per_sec", LOOKS[mode]
    axes.set_xscale("log" if against.log else "linear")
    axes.set_yscale("log")
    axes.grid(which="major")
    named = f"named: no other model here is both {against.better} and faster"
    axes.set_title(f"Images per second of {VERBS[mode]} against {against.what}; {named}", loc="left", pad=6, fontsize=10)
    axes.set_xlabel(against.label, labelpad=2)
    measured = [(value, row) for row in rows if row.get(column) and (value := against.value(row))]
    spots = [(float(value), float(row[column])) for value, row in measured]
    if not spots:
        return
    # `pareto_front` takes costs, where less is better: negate the values, where more is better.
    best = pareto_front([(-value, speed) for value, speed in spots])
    line = [spots[one] for one in best]
    look: dict[str, Any] = {"color": color, "marker": marker, "linestyle": "", "markersize": 5}
    axes.plot(*zip(*spots, strict=True), markerfacecolor="white", **look)
    axes.plot(*zip(*line, strict=True), **look)
    axes.plot(*zip(*line, strict=True), color=color, linewidth=1.0, alpha=0.5)
    if against.log:
        _limits(axes.xaxis, axes.set_xlim, [x for x, _ in spots])
    else:
        axes.margins(x=0.08)
    _limits(axes.yaxis, axes.set_ylim, [y for _, y in spots])
    _name(axes, spots, line, [(*spots[one], _named(measured[one][1])) for one in best])


def _limits(axis: Axis, limit: Callable[..., Any], values: Sequence[float]) -> None:
    """Leave room around the values of a logarithmic axis, and write plain numbers at its ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    room = max(1.4, (max(values) / min(values)) ** 0.16)
    limit(min(values) / room, max(values) * room)
    decades = math.log10(max(values) / min(values) * room**2)
    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if decades < 3 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def _name(axes: Axes, spots: Sequence[Spot], line: Sequence[Spot], wanted: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside their marks; a name without room is left out."""
    window = axes.get_window_extent()
    # A name may reach into the right margin.
    inside = (window.x0, window.y0, window.x1 + 20, window.y1)
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in map(axes.transData.transform, spots)]
    corners = [axes.transData.transform(spot) for spot in line]
    for (x, y), (to_x, to_y) in pairwise(corners):
        steps = max(1, int(math.hypot(to_x - x, to_y - y) / 3))
        path = [(x + (to_x - x) * step / steps, y + (to_y - y) * step / steps) for step in range(steps)]
        taken += [(across, up, across, up) for across, up in path]
    for x, y, text in wanted:
        across, up = axes.transData.transform((x, y))
        places = [box for box in _around(across, up, canvas.width(text, 8), 8.0) if _within(box, inside)]
        box = next((box for box in places if not any(_meet(box, other) for other in taken)), None)
        if box is None:
            continue
        taken.append(box)
        style: dict[str, Any] = {"fontsize": 8, "color": canvas.INK, "va": "bottom", "ha": "left"}
        if min(abs(up - box[1]), abs(up - box[3])) > NEAR + 2 and not box[1] <= up <= box[3]:
            # A thin line leads from a name to a mark that is not next to it.
            style["arrowprops"] = {"arrowstyle": "-", "color": canvas.MUTED, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
        axes.annotate(text, (x, y), xytext=(box[0] - across, box[1] - up), textcoords="offset points", **style)


def _around(x: float, y: float, wide: float, high: float) -> list[Box]:
    """Return boxes for a name around a mark, in order of preference: near ones before farther ones."""
    found: list[Box] = []
    for far in (NEAR, NEAR + 8, NEAR + 16, NEAR + 24):
        corners = [(x + far, y - high / 2), (x - far - wide, y - high / 2)]
        for share in (0.5, 0.0, 1.0, 0.25, 0.75):
            corners += [(x - wide * share, y + far), (x - wide * share, y - far - high)]
        found += [(left, bottom, left + wide, bottom + high) for left, bottom in corners]
    return found


def _within(box: Box, outer: Box) -> bool:
    return box[0] >= outer[0] and box[1] >= outer[1] and box[2] <= outer[2] and box[3] <= outer[3]


def _meet(one: Box, other: Box) -> bool:
    apart = one[2] + MARGIN < other[0] or other[2] + MARGIN < one[0] or one[3] + MARGIN < other[1] or other[3] + MARGIN < one[1]
    return not apart
