"""Shared by all pictures: one style, figures and panels in inches, text measurement, and atomic writes.

Pictures use matplotlib's objects, never pyplot: no window, no global state, and the same values give the same bytes.
matplotlib is imported only where it is used, so importing this module is cheap.
"""

from __future__ import annotations

import io
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from zoo.errors import StorageError
from zoo.system.files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Font size of text in points; in an SVG on a page this is 12 CSS pixels.
SIZE = 9.0
# Points from one line of text to the next.
LINE = 12.5
# Width of a figure in inches: 900 CSS pixels.
WIDTH = 9.375
# Inches of space to the left of a figure's lines of text.
MARGIN = 0.2
# Font size of a figure's title in points.
TITLE_SIZE = 12.0
# Font size with which a title is measured, in points: the title is bold, and wider than the regular font that is measured.
TITLE_MEASURED = 13.5
# Color of main text.
INK = "#222222"
# Color of labels and remarks.
MUTED = "#5f6368"
# Color of grid lines.
FAINT = "#e4e6ea"
# Color of bars.
BAR = "#9ecae1"
# Dots per inch of an SVG: four pixels per point, so that its coordinates are precise enough.
SVG_DPI = 288
# Dots per inch of a PNG: two pixels per point, for high-resolution screens.
PNG_DPI = 144
# matplotlib's settings, on top of its own defaults.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zoo",
    # A class may be called `$x$`.
    "text.parse_math": False,
    # The fallback fonts are about as wide as the first font, with which text is measured.
    "font.sans-serif": ["DejaVu Sans", "Bitstream Vera Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": SIZE,
    "text.color": INK,
    "axes.edgecolor": "#9aa0a6",
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    **{f"{axis}tick.{kind}.size": 0.0 for axis in "xy" for kind in ("major", "minor")},
}


# --------------------------------------------------------------------------------------- text


def printable(text: str) -> str:
    """Return a text for XML without unprintable characters: class names come from folders and may have any character."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def width(text: str, size: float = SIZE) -> float:
    """Return the width of a text in points. East Asian characters count as one em, because the font lacks them."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    plain = "".join("—" if east_asian_width(letter) in "WF" else letter for letter in text)
    return text_to_path.get_text_width_height_descent(plain, FontProperties(size=size), False)[0]


def ellipsize(text: str, limit: float, size: float = SIZE) -> str:
    """Shorten a text to at most `limit` points by cutting its middle, because names often differ at their ends."""
    if width(text, size) <= limit:
        return text

    def cut(kept: int) -> str:
        return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"

    return cut(max(2, bisect_right(range(len(text)), limit, key=lambda kept: width(cut(kept), size)) - 1))


# ------------------------------------------------------------------------------------ figures


@contextmanager
def style() -> Iterator[None]:
    """Draw with the settings of `STYLE`, ignoring the user's matplotlibrc."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        # Text stays text in an SVG, and the viewer has the glyphs that this font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(title: str, height: float) -> Figure:
    """Return an empty figure with a title, `height` inches high."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure((WIDTH, height), dpi=72, facecolor="white")
    FigureCanvasSVG(figure)
    shown = ellipsize(printable(title), (WIDTH - 0.5) * 72, TITLE_MEASURED)
    line(figure, shown, 0.3, fontsize=TITLE_SIZE, fontweight="bold")
    return figure


def panel(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Add axes to a figure; `box` is left, bottom, width and height in inches."""
    width, height = figure.get_size_inches()
    return figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))


def line(figure: Figure, text: str, down: float, **style: Any) -> None:
    """Write a line of text at the left, `down` inches below the upper edge; `style` is passed to matplotlib."""
    width, height = figure.get_size_inches()
    figure.text(MARGIN / width, 1 - down / height, text, **style)


def write(figure: Figure, path: Path, title: str, kind: str = "svg") -> None:
    """Write an SVG or PNG atomically: at any moment the file is the old one or the new one.

    Raises:
        OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Title": printable(title)}
    metadata |= {"Date": None, "Creator": "zoo"} if kind == "svg" else {"Software": "zoo"}
    figure.canvas.print_figure(buffer, format=kind, dpi=SVG_DPI if kind == "svg" else PNG_DPI, metadata=metadata)
    write_file(path, buffer.getvalue())


def store(figure: Figure, path: Path, title: str) -> None:
    """Write an SVG into a run folder.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        write(figure, path, title)
    except OSError as error:
        raise StorageError(str(path), f"cannot be written: {error.strerror}", "free some space, then --resume") from None
