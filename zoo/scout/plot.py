"""The picture of a scouting: probe accuracy against images/s and against the minutes of a fine-tune, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.results.measured import Row
from zoo.results.pareto import Axis, Dot, draw_pareto


def draw_scout(rows: Sequence[Row], path: Path, data: str) -> bool:
    """Draw the rows that were measured successfully; return False, and write nothing, if there are none.

    Args:
        rows: rows of the scouting.
        path: path of the picture; its extension sets the format.
        data: name of the images.

    Raises:
        ZooError: the file cannot be written.
    """
    fine = [row for row in rows if row["status"] == "ok" and not row.get("control")]
    if not fine:
        return False
    # Both axes are costs, so that the best is at the upper left of each panel.
    axes = [
        Axis("ms an image, in a stream", [Dot(row["model"], 1e3 / row["images_per_second"], 100 * row["probe"]) for row in fine]),
        Axis("predicted minutes of the fine-tune", [Dot(row["model"], row["minutes"], 100 * row["probe"]) for row in fine]),
    ]
    draw_pareto(axes, "probe accuracy, percent", path, f"{len(fine)} backbones on {data}, and the Pareto front")
    return True
