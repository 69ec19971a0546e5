"""Cross-validation: one run for each fold of the training images, each in its own process, restartable."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from zoo.errors import ZooError
from zoo.metrics import interval
from zoo.recipe.dump import plain_values
from zoo.recipe.recipe import Recipe
from zoo.results.folder import RunFolder
from zoo.results.predictions import PREDICTIONS
from zoo.sweep import folder as folders
from zoo.sweep import out_of_fold, start
from zoo.sweep.grid import Grid, Run, at
from zoo.sweep.out_of_fold import FOLDS, OutOfFold
from zoo.sweep.sweep import Sweep
from zoo.system.console import Console, plural
from zoo.system.files import expanded
from zoo.system.hardware import environment
from zoo.system.table import percent
from zoo.training.auto import decide

# Suffix of the folder's name, after the name of the recipe.
ENDING = "folds"
# The key of the state file that holds the recipe of the first fold.
RECIPE = "recipe"
# Columns of a sweep's table that would be empty, because cross-validation does not evaluate the test images.
EMPTY = ("test acc", "95 % interval")


def train_folds(recipe: Recipe, folder: Path | None = None) -> int:
    """Train a run for each fold; call `zoo.system.signals.install` before.

    Args:
        recipe: recipe of the first fold.
        folder: the folder to continue in; None continues in a folder with the same settings, or makes a new one.

    Returns:
        The exit code: 0, or 1 if a run failed.

    Raises:
        ZooError: bad input, before anything is written.
        Stopped: a signal stopped the command.
        StorageError: the results can no longer be written.
    """
    began, console = time.monotonic(), Console()
    recipe.data.check()
    root = expanded(recipe.output.root)
    RunFolder.check(folder or root)
    # Images that cannot be divided are refused here, before anything is written.
    outline = recipe.data.outline(recipe.train.seed)
    found = decide(recipe, lambda: outline)
    runs = runs_of(found.recipe)
    settings = folders.settings_of(Grid(Path(str(recipe.name)), [recipe.backbone.name]), runs_of(recipe))
    name = f"{recipe.name}-{ENDING}"
    folder = folder or folders.same(settings, root, name) or RunFolder.create(root, name).path
    with contextlib.closing(start.make_pool(start.How(), runs)) as pool, RunFolder(folder).held("--folds"):
        known = folders.read_state(folder)
        begun = {"settings": settings, RECIPE: plain_values(recipe), "runs": [run.name for run in runs]}
        state = environment() | {"seconds": 0.0, "paces": {}} | begun | known | {"finished": False}
        console.facts("chosen", found.reasons)
        return CrossValidation(folder, [at(run, folder) for run in runs], pool, state, None, began).run(start.one_after_the_other)


def runs_of(recipe: Recipe) -> list[Run]:
    """Return a run for each fold.

    Args:
        recipe: recipe of any of the folds.
    """
    seed, backbone = recipe.train.seed, recipe.backbone.name
    return [Run(f"fold-{number}", backbone, seed, {}, of_fold(recipe, number)) for number in range(recipe.data.folds or 0)]


def of_fold(recipe: Recipe, number: int) -> Recipe:
    """Return the recipe of one fold."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"fold": number})})


def begun_recipe(folder: Path) -> Recipe:
    """Return the recipe with which a cross-validation was begun.

    Raises:
        ZooError: the folder holds no cross-validation, or its file is damaged.
    """
    values = folders.read_state(folder).get(RECIPE)
    if values is None:
        raise ZooError("--resume", f"{folder} is not a cross-validation", "give a run folder, auto, or the folder of --folds")
    try:
        # As JSON: strict validation of Python values would refuse a string for a path.
        return Recipe.model_validate_json(json.dumps(values))
    except ValueError:
        raise ZooError("--resume", f"{folder / folders.STATE} is damaged", "start a new one") from None


class CrossValidation(Sweep):
    """The runs of all folds, as a sweep whose runs differ in their validation images."""

    def headline(self) -> None:
        """Print a summary of the runs."""
        self.columns = [column for column in self.columns if column.title not in EMPTY]
        self.console.fact("folds", f"{plural(len(self.runs), 'run')}, each validates on another part of the training images")

    def conclude(self) -> None:
        """Write and print the combined results, if all folds are finished.

        Raises:
            ZooError: a run is damaged, or the folds are of different images.
        """
        files = "results.csv, results.json, a folder for each fold"
        if not self.unfinished:
            found = out_of_fold.gather(self.folder, [run.name for run in self.runs])
            out_of_fold.write(self.folder, found)
            self.console.fact("accuracy", summary(found))
            files = f"{FOLDS}, {PREDICTIONS}, {files}"
        self.console.fact("results", f"{self.folder} ({files})")


def summary(found: OutOfFold) -> str:
    """Return the line that is printed at the end of a cross-validation."""
    folds = f"{percent(found.mean, 1)} +- {100 * found.std:.1f} ({len(found.folds)} folds)"
    low, high = interval(found.accuracy, found.images)
    pooled = f"out of fold {percent(found.accuracy, 1)} of {plural(found.images, 'image')}"
    return f"{folds}, {pooled} (95 % interval {percent(low, 1)} to {percent(high, 1)})"
