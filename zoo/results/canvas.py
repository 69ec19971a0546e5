"""What the pictures share: one style, figures and panels in inches, text that is measured, files written whole.

matplotlib's objects draw, never pyplot: no window, no global state, and the same values give the same bytes.
matplotlib is imported where it is used: importing this module is cheap.
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


# Points of text and of a line of it; inches of a figure: 9.375 are 900 CSS pixels, where 9 points are 12.
SIZE, LINE, WIDTH = 9.0, 12.5, 9.375
INK, MUTED, FAINT, BAR = "#222222", "#5f6368", "#e4e6ea", "#9ecae1"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zoo",
    # A class may be called `$x$`.
    "text.parse_math": False,
    # The fonts after the first are about as wide: what was measured here fits there.
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
    """A text that XML can hold: folder names may have any character."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def width(text: str, size: float = SIZE) -> float:
    """The width of a text in points; the letters of East Asia are a dash of one em, as the font here lacks them."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    plain = "".join("—" if east_asian_width(letter) in "WF" else letter for letter in text)
    return text_to_path.get_text_width_height_descent(plain, FontProperties(size=size), False)[0]


def ellipsize(text: str, limit: float, size: float = SIZE) -> str:
    """A text no wider than so many points: names often differ at their ends, so the middle goes."""
    if width(text, size) <= limit:
        return text

    def cut(kept: int) -> str:
        return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"

    return cut(max(2, bisect_right(range(len(text)), limit, key=lambda kept: width(cut(kept), size)) - 1))


# ------------------------------------------------------------------------------------ figures


@contextmanager
def style() -> Iterator[None]:
    """Within it matplotlib draws as `STYLE` says, whatever the reader's own matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        # The viewer has the glyphs that the font here lacks: text stays text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(title: str, height: float) -> Figure:
    """A figure under its title, `height` inches high."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure((WIDTH, height), dpi=72, facecolor="white")
    FigureCanvasSVG(figure)
    # The bold letters are wider than those that are measured.
    line(figure, ellipsize(printable(title), (WIDTH - 0.5) * 72, 13.5), 0.3, fontsize=12, fontweight="bold")
    return figure


def panel(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes at left, bottom, width, height in inches."""
    width, height = figure.get_size_inches()
    return figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))


def line(figure: Figure, text: str, down: float, **style: Any) -> None:
    """A line of text at the left, `down` inches under the upper edge."""
    width, height = figure.get_size_inches()
    figure.text(0.2 / width, 1 - down / height, text, **style)


def write(figure: Figure, path: Path, title: str, kind: str = "svg") -> None:
    """Write an SVG or PNG: the file is the old one or the whole new one, at any moment.

    Raises:
        OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    # The dots per inch are those of an SVG's pixels, four to a point, or a PNG's own.
    metadata: dict[str, Any] = {"Title": printable(title)}
    metadata |= {"Date": None, "Creator": "zoo"} if kind == "svg" else {"Software": "zoo"}
    figure.canvas.print_figure(buffer, format=kind, dpi=288 if kind == "svg" else 144, metadata=metadata)
    write_file(path, buffer.getvalue())


def store(figure: Figure, path: Path, title: str) -> None:
    """Write the SVG into the run folder.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        write(figure, path, title)
    except OSError as error:
        raise StorageError(str(path), f"cannot be written: {error.strerror}", "free some space, then --resume") from None
