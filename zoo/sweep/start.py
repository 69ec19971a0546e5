"""Start a sweep: check its inputs, find its folder and machines, and choose the order of its runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.data.data_set import Outline
from zoo.data.folder_set import Folder
from zoo.data.options import Data
from zoo.errors import ZooError
from zoo.recipe.recipe import Recipe
from zoo.results.folder import RunFolder
from zoo.results.measured import ROOT, check_writable
from zoo.sweep import folder as folders
from zoo.sweep.budget import in_time
from zoo.sweep.grid import Grid, Run, at, runs_of
from zoo.sweep.pool import LocalPool, Pool
from zoo.sweep.sweep import Sweep
from zoo.system.hardware import environment
from zoo.training.auto import decide


@dataclass(frozen=True)
class How:
    """The way a sweep is executed, which does not change the result of a run.

    Attributes:
        jobs: runs at a time; None for one, or as many as a cluster has room for.
        timeout: maximum seconds per process of a run; None for no limit.
        budget: maximum seconds for the whole sweep; None for no limit.
        on: `local` or `ray`.
    """

    jobs: int | None = None
    timeout: float | None = None
    budget: float | None = None
    on: str = "local"


def run_sweep(grid: Grid, out: Path | None, how: How) -> int:
    """Train every combination, each in its own process; call `zoo.system.signals.install` before.

    Args:
        grid: arguments of the sweep.
        out: the folder; None resumes a sweep with the same settings in `runs`, or makes a new folder.
        how: the way to execute it.

    Returns:
        The exit code: 0, or 1 if a run failed.

    Raises:
        ZooError: bad input, before anything is trained.
        Stopped: a signal stopped the sweep.
        StorageError: the results can no longer be written.
    """
    began = time.monotonic()
    runs = runs_of(grid)
    check_data(runs)
    if how.budget is not None:
        check_validation(runs)
    settings = folders.settings_of(grid, runs)
    check_writable(out or ROOT)
    # Before anything is written: this reads the images.
    runs = decided(runs)
    with contextlib.closing(make_pool(how, runs)) as pool:
        folder = folders.find(out, settings, runs)
        with RunFolder(folder).held("--out"):
            known = folders.read_state(folder)
            state = {"settings": settings, "runs": [run.name for run in runs], "seconds": 0.0, "paces": {}} | known
            state = environment() | state | {"finished": False}
            sweep = Sweep(folder, [at(run, folder) for run in runs], pool, state, how.budget, began)
            return sweep.run(one_after_the_other if how.budget is None else in_time)


def one_after_the_other(sweep: Sweep) -> None:
    """Train all unfinished runs to their end, in order."""
    sweep.train([(run, None) for run in sweep.unfinished])


def make_pool(how: How, runs: Sequence[Run]) -> Pool:
    """Return the pool in which these runs are trained.

    Raises:
        ZooError: ray is not installed, or there is no cluster.
    """
    if how.on == "ray":
        from zoo.sweep.on_ray import RayPool

        asked = [run.recipe.train.threads for run in runs if run.recipe is not None]
        known = [threads for threads in asked if isinstance(threads, int)]
        return RayPool(how.jobs, how.timeout, min(known) if known and len(known) == len(asked) else None)
    return LocalPool(how.jobs or 1, how.timeout)


def check_data(runs: Sequence[Run]) -> None:
    """Check the data options of all runs, each data set once.

    Raises:
        ZooError: the images cannot be at the place that the options give.
    """
    # Not a set: the sections are not hashable.
    seen: list[Any] = []
    for run in runs:
        if run.recipe is not None and run.recipe.data not in seen:
            run.recipe.data.check()
            seen.append(run.recipe.data)


def decided(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with the recipes' `auto` options decided from the images; each data set is listed once.

    Raises:
        ZooError: the images are not available, or are not as expected.
    """
    known: list[tuple[Data, Outline]] = []

    def outline(recipe: Recipe) -> Outline:
        # Not a mapping: the sections are not hashable.
        found = next((outline for data, outline in known if data == recipe.data), None)
        if found is None:
            found = recipe.data.outline(recipe.train.seed)
            known.append((recipe.data, found))
        return found

    def of(run: Run) -> Run:
        recipe = run.recipe
        return run if recipe is None else replace(run, recipe=decide(recipe, lambda: outline(recipe)).recipe)

    return [of(run) for run in runs]


def check_validation(runs: Sequence[Run]) -> None:
    """Check that every run has validation images, which decide the runs that continue; each data set is checked once.

    Raises:
        ZooError: a run has no validation images or sets `train.max_minutes`, or its folder is not as expected.
    """
    seen: list[Any] = []
    for run in runs:
        if run.recipe is not None and run.recipe.train.max_minutes is not None:
            raise ZooError("--budget", "train.max_minutes gives each run its own time limit", "leave one of the two out")
        if run.recipe is None or run.recipe.data in seen:
            continue
        data = run.recipe.data
        seen.append(data)
        # An image folder may have its own validation images.
        if data.val_fraction == 0 and not (isinstance(data, Folder) and data.plan(run.seed)[1].val is not None):
            raise ZooError(
                "--budget", "val.accuracy decides which runs continue, but data.val_fraction is 0", "set it, e.g. to 0.1"
            )
