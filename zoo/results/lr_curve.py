"""Draw the loss over the learning rate, the result of a range test, as SVG.

matplotlib is imported only where it is used, and torch is not, so importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.results import canvas
from zoo.results.canvas import BAR, INK, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Color of the suggested rate: dark enough for text on white.
SUGGESTED = "#b85000"
# Background color of the valley floor.
FLOOR = "#fdf1e3"
# Upper limit of the loss axis, as a multiple of the first loss: a diverging loss would flatten the rest.
SHOWN = 1.5


def draw_range(
    rates: Sequence[float],
    losses: Sequence[float],
    smooth: Sequence[float],
    read: tuple[float, float, float],
    path: Path,
    title: str,
) -> None:
    """Draw the losses of all steps, the smoothed losses, and the suggested rates.

    Args:
        rates: learning rates of the steps, ascending.
        losses: losses of the steps.
        smooth: smoothed losses.
        read: the rates at the begin, in the middle (the suggested one) and at the end of the valley floor.
        path: path of the SVG.
        title: title of the picture.

    Raises:
        ZooError: the file cannot be written.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    with canvas.style():
        figure = canvas.figure(title, 4.2)
        axes = canvas.panel(figure, (0.6, 0.65, WIDTH - 0.9, 2.75))
        axes.set_xscale("log")
        axes.set_xlim(rates[0], rates[-1])
        low, high = 0.9 * min(*losses, *smooth), SHOWN * smooth[0]
        axes.set_ylim(low, max(high, 1.05 * min(max(smooth), high)))
        axes.xaxis.set_major_locator(LogLocator(base=10))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")))
        axes.grid(axis="both")
        axes.set_axisbelow(True)
        axes.plot(rates, losses, color=BAR, linewidth=0, marker=".", markersize=5)
        axes.plot(rates, smooth, color=INK, linewidth=1.6)
        axes.axvspan(read[0], read[2], color=FLOOR, linewidth=0)
        _mark(axes, read[1], f"suggested: {read[1]:g}, from {read[0]:g} to {read[2]:g}")
        axes.set_xlabel("learning rate (dots: the loss of each step; line: smoothed)")
        axes.set_ylabel("training loss")
        try:
            canvas.write(figure, path, title)
        except OSError as error:
            raise ZooError("--plot", f"{path}: cannot be written: {error.strerror}", "give another file") from None


def _mark(axes: Axes, rate: float, text: str) -> None:
    """Draw a line at the suggested rate, with a text above the panel."""
    low, high = axes.get_xlim()
    place = math.log(rate / low) / math.log(high / low)
    axes.axvline(rate, color=SUGGESTED, linewidth=1.0, linestyle="--")
    style: dict[str, Any] = {"ha": "right" if place > 0.5 else "left", "xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(text, (place, 1), xytext=(0, 4), color=SUGGESTED, **style)
