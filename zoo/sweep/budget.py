"""Run a sweep within a time budget: train all runs a little, the best for longer, and the best of those to the end."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.section import decided
from zoo.sweep import halving, rows
from zoo.sweep.grid import Run
from zoo.sweep.halving import Pace
from zoo.sweep.sweep import Sweep
from zoo.system.console import plural
from zoo.system.progress import time_left
from zoo.system.table import percent

# Seconds that a run takes to start, if not measured.
UNKNOWN_START = 10.0
# Ratio of the seconds of an epoch with its evaluation to the seconds of its steps, used if only the latter are known.
WITH_EVALUATION = 1.3


def in_time(sweep: Sweep) -> None:
    """Train as many runs to their end as the budget allows: those that are best after one ninth and one third of the epochs."""
    if sweep.seconds_left > 0:
        _Race(sweep).run()


class _Race:
    """A race between the runs of a sweep, against the clock."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        # Runs that failed in an earlier command are tried again.
        self._before = dict(sweep.rows)

    def run(self) -> None:
        """Train all runs to the first look, the best of them to each next look, and then use the time that is left."""
        sweep = self.sweep
        # The first seed of every backbone comes before the second of any.
        going = sorted(sweep.unfinished, key=lambda run: sweep.state["settings"]["seeds"].index(run.seed))
        for look in range(len(halving.LOOKS)):
            tasks = [(run, pause) for run in going if self.epochs_of(run) < (pause := pauses(run)[look])]
            sweep.train(tasks, self.may_look if look == 0 else (lambda _: True))
            if sweep.out_of_time:
                return
            if look + 1 < len(halving.LOOKS):
                going = self.choose(going, look)
                # Each pause costs a start, so skip the pauses if all remaining runs reach their end in time anyway.
                if len(going) == 1 or self.fit(going):
                    sweep.train([(run, None) for run in going])
                    break
        self.use_what_is_left()

    def may_look(self, run: Run) -> bool:
        """Return whether there is time to train a run to its first look, and then one of the runs seen so far to its end."""
        seen = [each for each in self.sweep.unfinished if each.name in self.sweep.paces]
        if not seen:
            return True
        costs = [self.to_the_end(each) for each in seen]
        first = sum(self.pace_of(each).seconds(pauses(run)[0], to_the_end=False) for each in seen) / len(seen)
        return first + sum(costs) / len(costs) <= halving.usable(self.sweep.seconds_left)

    def choose(self, going: Sequence[Run], look: int) -> list[Run]:
        """Return the runs that continue after a look, the best first, and print how many."""
        fine = [run for run in going if run in self.sweep.unfinished and not self.failed(run)]
        scored = [(accuracy, run) for run in fine if (accuracy := self.accuracy_at(run, look)) is not None]
        ranked = sorted(scored, key=lambda each: each[0], reverse=True)
        if not ranked:
            return []
        needed = [halving.stages(self.pace_of(run), self.epochs_of(run), pauses(run)[look + 1 :]) for _, run in ranked]
        chosen = ranked[: halving.how_many(needed, self.sweep.pool.jobs, self.sweep.seconds_left)]
        if len(chosen) < len(ranked):
            accuracy, best = chosen[0]
            many = f"{len(chosen)} of {plural(len(ranked), 'run')} continue by val acc"
            left = f"{time_left(self.sweep.seconds_left)} left"
            self.sweep.console.line(f"{many}, {left}; the best: {best.name}, {percent(accuracy, 2)} on val")
        return [run for _, run in chosen]

    def use_what_is_left(self) -> None:
        """Train further runs to their end while there is time for them, the best first."""
        sweep = self.sweep
        while not sweep.out_of_time:
            begun = [(rows.best_accuracy(self.history_of(run)), run) for run in sweep.unfinished]
            alive = [(accuracy, run) for accuracy, run in begun if accuracy is not None and not self.failed(run)]
            ranked = [run for _, run in sorted(alive, key=lambda each: each[0], reverse=True)]
            fit = [run for run in ranked if self.to_the_end(run) <= halving.usable(sweep.seconds_left)]
            if not fit:
                return
            sweep.train([(run, None) for run in fit[: sweep.pool.jobs]])

    def failed(self, run: Run) -> bool:
        """Return whether a run ended with an error in this command."""
        row = self.sweep.rows.get(run.name)
        return row is not None and row is not self._before.get(run.name) and row["status"] not in (rows.PAUSED, rows.STOPPED)

    def fit(self, going: Sequence[Run]) -> bool:
        """Return whether all these runs reach their end in time."""
        seconds = halving.makespan([self.to_the_end(run) for run in going], self.sweep.pool.jobs)
        return seconds <= halving.usable(self.sweep.seconds_left)

    def to_the_end(self, run: Run) -> float:
        """Return the seconds that a run still needs to reach its end."""
        return sum(halving.stages(self.pace_of(run), self.epochs_of(run), pauses(run)[-1:]))

    def history_of(self, run: Run) -> list[rows.Row]:
        """Return the rows of a run's completed epochs."""
        return rows.history_of(self.sweep.folder / run.name)

    def epochs_of(self, run: Run) -> int:
        """Return the number of a run's completed epochs."""
        return len(self.history_of(run))

    def accuracy_at(self, run: Run, look: int) -> float | None:
        """Return the best val accuracy up to a look, even if the run is further; None if it was not evaluated yet."""
        return rows.best_accuracy(self.history_of(run)[: pauses(run)[look]])

    def pace_of(self, run: Run) -> Pace:
        """Return the pace of a run, as measured or else estimated from the seconds of its epochs."""
        if run.name in self.sweep.paces:
            return self.sweep.paces[run.name]
        history = self.history_of(run)
        seconds = sum(row["seconds"] for row in history) / max(1, len(history))
        return Pace(UNKNOWN_START, WITH_EVALUATION * seconds)


def pauses(run: Run) -> list[int]:
    """Return the epochs after which a run pauses."""
    recipe = run.trainable
    return halving.looks(decided(recipe.train.epochs), recipe.eval.every_epochs)
