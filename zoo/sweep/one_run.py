"""Train one run inside a worker process, from its newest checkpoint if it has one, else from the start in the same folder.

Importing this module imports everything that training needs, so that forked workers have it loaded already.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_svg  # noqa: F401  a run draws its curves at the end

from zoo.errors import Stopped, ZooError
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe
from zoo.results.folder import RESULT, RunFolder, checkpoint_steps
from zoo.system import launch, signals
from zoo.system.files import STAGING, discard, hidden, remove
from zoo.system.locks import exclusive
from zoo.system.threads import announce_threads
from zoo.training.checkpoint import newest
from zoo.training.run import train


def train_run(arguments: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """Train a run, and report if a signal stopped it.

    Args:
        arguments: `recipe`, a Recipe whose name and root give the run folder; `until_epoch`, the epoch after which to pause,
            or None to train to the end; `lock`, a lock file for this run.
        send: called with `{"stopped": line}` if a signal stopped the run.

    Raises:
        ZooError: bad input, or an error that ended the run.
    """
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}", flush=True)  # noqa: T201
    signals.install()
    recipe: Recipe = arguments["recipe"]
    try:
        # If an earlier sweep was killed, its worker may still be running for a moment.
        with exclusive(Path(arguments["lock"])):
            folder = recipe.output.root / str(recipe.name)
            resume = _resumable(folder)
            announce_threads(recipe.train.threads, launch.read())
            try:
                train(_as_begun(recipe, resume), resume, until_epoch=arguments["until_epoch"])
            except ZooError as error:
                if resume is None or error.where != "--resume" or not _all_damaged(folder):
                    raise
                print(f"warning: {error.what}; starting the run from the beginning", file=sys.stderr)  # noqa: T201
                discard(folder)
                train(recipe, None, until_epoch=arguments["until_epoch"])
    except Stopped as stopped:
        print(stopped, file=sys.stderr)  # noqa: T201
        send({"stopped": str(stopped)})
    except ZooError as error:
        for line in error.lines:
            print(f"error: {line}", file=sys.stderr)  # noqa: T201
        raise
    except Exception:
        traceback.print_exc()
        raise


def _resumable(folder: Path) -> Path | None:
    """Return the folder if its run has a checkpoint or a result; else remove it, so that a new run can take its name."""
    remove(hidden(folder, STAGING))
    if checkpoint_steps(folder) or (folder / RESULT).exists():
        return folder
    if folder.exists():
        discard(folder)
    return None


def _all_damaged(folder: Path) -> bool:
    """Return whether an unfinished run has checkpoints, all of them damaged.

    Raises:
        ZooError: another process is using the folder.
    """
    if (folder / RESULT).exists() or not checkpoint_steps(folder):
        return False
    with RunFolder(folder).held():
        try:
            newest(folder / "checkpoints")
        except ZooError:
            return True
    return False


def _as_begun(recipe: Recipe, run: Path | None) -> Recipe:
    """Return the recipe with the output root of the begun run, because the sweep's folder may have been moved since."""
    if run is None:
        return recipe
    root = load_recipe(run / "recipe.yaml").output.root
    return recipe.model_copy(update={"output": recipe.output.model_copy(update={"root": root})})
