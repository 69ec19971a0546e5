"""A sweep in progress: start the runs, write a row as soon as one ends, and stop them cleanly."""

from __future__ import annotations

import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.errors import Stopped
from zoo.results.folder import RESULT, RunFolder, checkpoint_steps
from zoo.results.measured import read_rows, write_rows
from zoo.section import decided
from zoo.sweep import folder as folders
from zoo.sweep import rows
from zoo.sweep.grid import Run
from zoo.sweep.halving import Pace, makespan
from zoo.sweep.pool import Ended, Pool
from zoo.sweep.rows import OK, PAUSED, STOPPED, Row
from zoo.system import signals, table
from zoo.system.console import Console, plural
from zoo.system.progress import note, show_current, time_left

# Seconds between two checks of signals and the clock.
POLL_SECONDS = 0.2
# Seconds after which a run that was asked to stop is killed; a step and a checkpoint take less.
STOP_SECONDS = 120.0


class Sweep:
    """A sweep in progress.

    Args:
        folder: folder for the runs and their rows.
        runs: all runs.
        pool: the pool that trains them.
        state: content of the folder's state file, updated in place.
        budget: maximum seconds for the whole sweep; None for no limit.
        began: start of the command, on the monotonic clock.

    Attributes:
        rows: rows by run name, of runs that ended now or before.
        deadline: end of the budget, on the monotonic clock; infinite without a budget.
    """

    def __init__(
        self, folder: Path, runs: Sequence[Run], pool: Pool, state: dict[str, Any], budget: float | None, began: float
    ) -> None:
        self.folder, self.runs, self.pool, self.state, self.budget, self.began = folder, runs, pool, state, budget, began
        self.console = Console()
        self.columns = rows.table_columns(runs)
        self.used_before = float(state["seconds"])
        self.deadline = float("inf") if budget is None else began + budget - self.used_before
        self.out_of_time = False
        self.epochs_before: dict[str, int] = {}
        self.started_at: dict[str, float] = {}
        self.paces = {name: Pace(**pace) for name, pace in state["paces"].items()}
        self.rows = self._rows_before()

    def _rows_before(self) -> dict[str, Row]:
        """Return the rows of runs that are finished, failed or were stopped before, or cannot be trained."""
        before = {str(row["name"]): row for row in read_rows(self.folder, "a sweep", "name")}
        found = {}
        for run in self.runs:
            if run.recipe is None:
                found[run.name] = rows.row_of(run, self.folder / run.name, run.status, run.error)
            elif (self.folder / run.name / RESULT).exists():
                found[run.name] = rows.row_of(run, self.folder / run.name)
            elif before.get(run.name, {}).get("status") not in (None, OK, PAUSED):
                found[run.name] = before[run.name]
        return found

    @property
    def unfinished(self) -> list[Run]:
        """The runs that can be trained and are not finished."""
        return [run for run in self.runs if run.recipe is not None and self.rows.get(run.name, {}).get("status") != OK]

    @property
    def seconds_left(self) -> float:
        """The seconds left in the budget; infinite without one."""
        return self.deadline - time.monotonic()

    def run(self, schedule: Callable[[Sweep], None]) -> int:
        """Train the unfinished runs as `schedule` orders them, and return the exit code."""
        self._keep()
        self._describe()
        self.console.line()
        self.console.line(table.heading(self.columns))
        todo = self.unfinished
        for run in self.runs:
            if run not in todo:
                self.console.line(rows.line(self.rows[run.name], self.columns))
        signals.defer()
        schedule(self)
        return self._finish()

    def _describe(self) -> None:
        """Print the runs, the folder and the budget, and how many runs have ended already."""
        self.headline()
        self.console.fact("results", str(self.folder))
        if self.budget is not None:
            left = f", {time_left(max(0.0, self.seconds_left))} of it left" if self.used_before else ""
            self.console.fact("budget", time_left(self.budget) + left)
        left = self.unfinished
        begun = sum(bool(checkpoint_steps(self.folder / run.name)) for run in left)
        if begun or len(left) < sum(run.recipe is not None for run in self.runs):
            going = f", {begun} more begun" if begun else ""
            self.console.fact("resumed", f"{len(self.runs) - len(left)} of {plural(len(self.runs), 'run')} ended before{going}")

    def headline(self) -> None:
        """Print a summary of the runs."""
        asked = self.state["settings"]
        parts = [plural(len(asked["backbones"]), "backbone"), *(plural(len(v), k, k) for k, v in asked["set"].items())]
        many = " x ".join([*parts, plural(len(asked["seeds"]), "seed")])
        jobs = "one at a time" if self.pool.jobs == 1 else f"{self.pool.jobs} at a time"
        self.console.fact("sweep", f"{many}: {plural(len(self.runs), 'run')}, {jobs}")

    # ------------------------------------------------------------------------------ training

    def train(self, tasks: Sequence[tuple[Run, int | None]], may_begin: Callable[[Run], bool] = lambda _: True) -> None:
        """Train runs to their end or to an epoch; return early when the time is up.

        Args:
            tasks: runs, each with the epoch after which it pauses, or None to train to the end.
            may_begin: returns whether there is time to start a run; if not, this run and all after it are skipped.

        Raises:
            Stopped: a signal asked to stop; all runs have stopped.
        """
        waiting = deque(tasks)
        while (waiting or self.pool.running) and not self.out_of_time:
            while waiting and len(self.pool.running) < self.pool.jobs:
                if not may_begin(waiting[0][0]):
                    waiting.clear()
                    break
                self._start(*waiting.popleft())
            if not self.pool.running:
                return
            for ended in self.pool.wait(POLL_SECONDS):
                self._ended(ended)
            self._show([run for run, _ in waiting])
            if signals.requested():
                self._stop()
                done = len(self.runs) - len(self.unfinished)
                todo = "the same command continues"
                raise Stopped(signals.requested(), f"with {done} of {plural(len(self.runs), 'run')} ended", todo)
            if self.seconds_left <= 0:
                self._stop()
                self.out_of_time = True

    def _start(self, run: Run, until_epoch: int | None) -> None:
        """Start a run; if stderr is not a terminal, log a line."""
        if not sys.stderr.isatty():
            how = "continues" if checkpoint_steps(self.folder / run.name) else "starts"
            note(f"{run.name} {how}, {self.runs.index(run) + 1} of {len(self.runs)}")
        self.epochs_before[run.name] = len(rows.history_of(self.folder / run.name))
        self.started_at[run.name] = time.monotonic()
        self.pool.start(run, until_epoch)

    def _ended(self, ended: Ended) -> None:
        """Store and print the row of a run whose process has ended, unless it stopped because it was asked to."""
        run, outcome = ended.run, ended.outcome
        self._note_pace(ended)
        self.started_at.pop(run.name, None)
        asked = bool(signals.requested()) or self.seconds_left <= 0
        # A run that is still starting up has no handler yet and is ended by SIGTERM itself.
        stopped = bool(ended.stopped) or (asked and "SIGTERM" in outcome.error)
        status, error = (PAUSED, "") if outcome.status == OK else (outcome.status, outcome.error)
        if stopped:
            status, error = (STOPPED, "") if asked else ("killed", ended.stopped)
        row = rows.row_of(run, self.folder / run.name, status, error)
        if row["status"] == STOPPED:
            return
        self.rows[run.name] = row
        self._keep()
        show_current("")
        self.console.line(rows.line(row, self.columns))

    def _stop(self) -> None:
        """Ask all runs to stop, and wait for them."""
        self.pool.ask_to_stop()
        patience = STOP_SECONDS if self.budget is None else max(1.0, 0.05 * self.budget)
        end = time.monotonic() + patience
        while self.pool.running and time.monotonic() < end:
            for ended in self.pool.wait(POLL_SECONDS):
                self._ended(ended)
        self.pool.close()
        show_current("")
        self._keep()

    def _note_pace(self, ended: Ended) -> None:
        """Record how long a run takes to start and for an epoch."""
        name, path = ended.run.name, self.folder / ended.run.name
        epochs, before = len(rows.history_of(path)), self.epochs_before.pop(name, 0)
        known = self.paces.get(name)
        start = known.start if known else 0.0
        if not before and (path / "environment.json").exists():
            # environment.json is written when the set-up is complete.
            start = max(0.0, (path / "environment.json").stat().st_mtime - (time.time() - ended.seconds))
        if epochs > before:
            starts = 2 if (path / RESULT).exists() else 1
            self.paces[name] = Pace(start, max(0.0, ended.seconds - starts * start) / (epochs - before))

    def _keep(self) -> None:
        """Write the rows and the state."""
        if self.rows:
            found = [self.rows[run.name] for run in self.runs if run.name in self.rows]
            write_rows(self.folder, found, rows.columns_of(list(self.state["settings"]["set"])))
        self.state["seconds"] = round(self.used_before + time.monotonic() - self.began, 1)
        self.state["paces"] = {name: asdict(pace) for name, pace in self.paces.items()}
        RunFolder(self.folder).write_json(folders.STATE, self.state)

    # ------------------------------------------------------------------------------ progress

    def _show(self, waiting: Sequence[Run]) -> None:
        """Show the progress of the sweep, on a terminal only."""
        if sys.stderr.isatty():
            done = len(self.runs) - len(self.unfinished)
            left = self._forecast(waiting) if self.budget is None else max(0.0, self.seconds_left)
            text = f", about {time_left(left)} left" if left is not None else ""
            now = ", ".join(run.name for run in self.pool.running)
            show_current(f"{done} of {len(self.runs)}{text}: {now}" if now else "")

    def _forecast(self, waiting: Sequence[Run]) -> float | None:
        """Return the predicted seconds left, from the pace of runs with the same backbone; None if no run has a pace yet."""
        paces = {run.backbone: self.paces[run.name] for run in self.runs if run.name in self.paces}
        if not paces:
            return None
        any_pace = next(iter(paces.values()))
        needed = []
        for run in (*self.pool.running, *waiting):
            train = run.trainable.train
            elapsed = time.monotonic() - self.started_at[run.name] if run.name in self.started_at else 0.0
            if train.max_minutes is not None:
                needed.append(max(0.0, 60 * train.max_minutes - elapsed))
                continue
            epochs = decided(train.epochs) - self.epochs_before.get(run.name, 0)
            needed.append(max(0.0, paces.get(run.backbone, any_pace).seconds(epochs, to_the_end=True) - elapsed))
        return makespan(needed, self.pool.jobs)

    # ----------------------------------------------------------------------------------- end

    def _finish(self) -> int:
        """Print how many runs stopped early or failed, and return the exit code."""
        for run in self.unfinished:
            if self.rows.get(run.name, {}).get("status") in (None, PAUSED):
                self.rows[run.name] = rows.row_of(run, self.folder / run.name, STOPPED)
                self.console.line(rows.line(self.rows[run.name], self.columns))
        statuses = [self.rows[run.name]["status"] for run in self.runs]
        failed = len(statuses) - statuses.count(OK) - statuses.count(STOPPED)
        self.state["finished"] = failed == 0
        self._keep()
        self.console.line()
        if stopped := statuses.count(STOPPED):
            todo = "a larger --budget resumes them"
            self.console.fact("stopped", f"{stopped} of {plural(len(statuses), 'run')} early for lack of time; {todo}")
        if failed:
            todo = f"the table says why, details in {self.folder / folders.LOGS}; the same command tries them again"
            self.console.fact("failed", f"{failed} of {plural(len(statuses), 'run')}: {todo}")
        self.conclude()
        return 1 if failed else 0

    def conclude(self) -> None:
        """Print the place of the results, and the command that compares the runs."""
        self.console.fact("results", f"{self.folder} (results.csv, results.json, a folder for each run)")
        self.console.fact("compare", self._leaderboard())

    def _leaderboard(self) -> str:
        """Return the command that ranks the runs, grouped by the varied options; runs in a group differ only in their seed."""
        keys = list(self.state["settings"]["set"])
        return f"zoo leaderboard {shlex.quote(str(self.folder))}" + (f" --group backbone,{','.join(keys)}" if keys else "")
