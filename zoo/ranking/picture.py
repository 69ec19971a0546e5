"""A leaderboard as a picture: the score against minutes of training, and against the cost of an image or the parameters."""

from __future__ import annotations

from pathlib import Path

from zoo.metrics import merit
from zoo.ranking.leaderboard import MINUTES, PARAMS, SPEED, Leaderboard, Row, cost
from zoo.ranking.tables import SHARES, score_label
from zoo.results.pareto import Axis, Dot, draw_pareto

# The label of each front's axis.
LABELS = {
    MINUTES: "minutes of training, a run",
    SPEED: "milliseconds an image, while scoring the test set",
    PARAMS: "parameters, millions",
}


def draw(board: Leaderboard, path: Path) -> None:
    """Draw a panel for each front into an .svg or .png file; rows of another machine are in the panel of parameters only.

    Raises:
        ZooError: the file cannot be written.
    """
    own = [row for row in board.rows if not row.other_machine]
    timed = all(row.costs.eval_images_per_second is not None for row in own)
    axes = [_axis(board, MINUTES, own), _axis(board, SPEED, own) if timed else _axis(board, PARAMS, board.rows)]
    draw_pareto(axes, score_label(board), path, title(board))


def title(board: Leaderboard) -> str:
    """Return the picture's title."""
    rows = len(board.rows)
    return f"{rows} row{'' if rows == 1 else 's'} by {board.by}, and the Pareto front"


def alternative_text(board: Leaderboard) -> str:
    """Return what the picture shows, for those who cannot see it."""
    fronts = {name: [row.name for row in board.rows if name in row.pareto] for name in (MINUTES, SPEED, PARAMS)}
    said = [f"on the front by {LABELS[name]}: {', '.join(names)}" for name, names in fronts.items() if names]
    return f"{score_label(board)} of {len(board.rows)} rows against what they cost; " + "; ".join(said)


def _axis(board: Leaderboard, front: str, rows: list[Row] | tuple[Row, ...]) -> Axis:
    factor = 100 if board.by.rpartition(".")[2] in SHARES else 1
    unit = 1e6 if front == PARAMS else 1
    return Axis(LABELS[front], [Dot(row.name, cost(row, front) / unit, factor * merit(board.by, row.score.mean)) for row in rows])
