"""Run a sweep within a time: all runs a little, the best for longer, the best of those to the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.sweep import halving, rows
from zoo.sweep.grid import Run
from zoo.sweep.halving import Pace
from zoo.system.console import plural
from zoo.system.progress import time_left
from zoo.system.table import percent

if TYPE_CHECKING:
    from zoo.sweep.sweep import Sweep

# Seconds of a start where none was measured.
UNKNOWN_START = 10.0
# Seconds of an epoch with its evaluation, as a share of those of its steps, where only these are known.
WITH_EVALUATION = 1.3


def run_in_time(sweep: Sweep) -> None:
    """Train as many runs to their end as the budget allows, those that are best after one and three ninths of the epochs."""
    if sweep.seconds_left <= 0:
        return
    # The first seed of every backbone comes before the second of any.
    going = sorted(sweep.unfinished, key=lambda run: sweep.state["settings"]["seeds"].index(run.seed))
    for look in range(len(halving.LOOKS)):
        tasks = [(run, pause) for run in going if epochs_of(sweep, run) < (pause := pauses(run)[look])]
        sweep.train(tasks, (lambda run: may_look(sweep, run)) if look == 0 else (lambda _: True))
        if sweep.out_of_time:
            return
        if look + 1 < len(halving.LOOKS):
            going = choose(sweep, going, look)
            # Each pause costs a start: where all go to their end in any case, none is needed.
            if len(going) == 1 or in_time(sweep, going):
                sweep.train([(run, None) for run in going])
                break
    use_what_is_left(sweep)


def may_look(sweep: Sweep, run: Run) -> bool:
    """Return whether there is time for a first look at a run, and then still to take one of those that were seen to its end."""
    seen = [each for each in sweep.unfinished if each.name in sweep.paces]
    if not seen:
        return True
    costs = [to_the_end(sweep, each) for each in seen]
    paces = [pace_of(sweep, each) for each in seen]
    first = sum(pace.seconds(pauses(run)[0], to_the_end=False) for pace in paces) / len(paces)
    return first + sum(costs) / len(costs) <= halving.usable(sweep.seconds_left)


def choose(sweep: Sweep, going: Sequence[Run], look: int) -> list[Run]:
    """Return the runs that go on after a look, the best first; say how many."""
    fine = [run for run in going if run in sweep.unfinished and not _failed(sweep, run)]
    alive = [run for run in fine if accuracy_at(sweep, run, look) is not None]
    ranked = sorted(alive, key=lambda run: accuracy_at(sweep, run, look) or 0.0, reverse=True)
    if not ranked:
        return []
    needed = [halving.stages(pace_of(sweep, run), epochs_of(sweep, run), pauses(run)[look + 1 :]) for run in ranked]
    chosen = ranked[: halving.how_many(needed, sweep.pool.jobs, sweep.seconds_left)]
    if len(chosen) < len(ranked):
        best = f"{chosen[0].name}, {percent(accuracy_at(sweep, chosen[0], look) or 0.0, 2)} on val"
        left = time_left(sweep.seconds_left)
        sweep.console.line(f"{len(chosen)} of {plural(len(ranked), 'run')} go on by val acc, {left} left; the best: {best}")
    return chosen


def use_what_is_left(sweep: Sweep) -> None:
    """Take further runs to their end while the time is enough for them, the best first."""
    while not sweep.out_of_time:
        begun = [(rows.best_accuracy(rows.history_of(sweep.folder / run.name)), run) for run in sweep.unfinished]
        alive = [(accuracy, run) for accuracy, run in begun if accuracy is not None and not _failed(sweep, run)]
        ranked = [run for _, run in sorted(alive, key=lambda each: each[0], reverse=True)]
        fit = [run for run in ranked if to_the_end(sweep, run) <= halving.usable(sweep.seconds_left)]
        if not fit:
            return
        sweep.train([(run, None) for run in fit[: sweep.pool.jobs]])


def _failed(sweep: Sweep, run: Run) -> bool:
    return sweep.rows.get(run.name, {}).get("status") not in (None, rows.PAUSED, rows.STOPPED)


def in_time(sweep: Sweep, going: Sequence[Run]) -> bool:
    """Return whether all of these runs reach their end in time."""
    return halving.makespan([to_the_end(sweep, run) for run in going], sweep.pool.jobs) <= halving.usable(sweep.seconds_left)


def to_the_end(sweep: Sweep, run: Run) -> float:
    """Return the seconds that a run needs from where it is to its end."""
    return sum(halving.stages(pace_of(sweep, run), epochs_of(sweep, run), pauses(run)[-1:]))


def pauses(run: Run) -> list[int]:
    """Return the epochs after which a run pauses."""
    recipe = run.trainable
    return halving.looks(recipe.train.epochs, recipe.eval.every_epochs)


def epochs_of(sweep: Sweep, run: Run) -> int:
    """Return the epochs that a run has done."""
    return len(rows.history_of(sweep.folder / run.name))


def accuracy_at(sweep: Sweep, run: Run, look: int) -> float | None:
    """Return the best accuracy on val up to a look, however far the run has come; None where it was not evaluated yet."""
    return rows.best_accuracy(rows.history_of(sweep.folder / run.name)[: pauses(run)[look]])


def pace_of(sweep: Sweep, run: Run) -> Pace:
    """Return the pace of a run: as measured, or by the seconds of its epochs."""
    if run.name in sweep.paces:
        return sweep.paces[run.name]
    history = rows.history_of(sweep.folder / run.name)
    seconds = sum(row["seconds"] for row in history) / max(1, len(history))
    return Pace(UNKNOWN_START, WITH_EVALUATION * seconds)
