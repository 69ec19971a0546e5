"""`zoo train`: run a recipe."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.recipe.recipe import Recipe
    from zoo.system.launch import Launch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo train`."""
    about = "a recipe file, or the name of a shipped one (the run's own, with --resume RUN)"
    parser.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", help=about)
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="options to change, e.g. optim.lr=1e-3")
    about = "resume an interrupted run, or the folder of --folds (auto: the newest of this name, else start a new one)"
    parser.add_argument("--resume", metavar="RUN|auto", help=about)
    about = "resume although the recipe differs from the run's, and record how"
    parser.add_argument("--allow-change", action="store_true", help=about)
    about = "cross-validate: train K runs, each validates on another part of the training images; the same command continues"
    parser.add_argument("--folds", metavar="K", help=about)
    about = "print the start of a run, with the predicted minutes, memory, disk and learning rates, and stop"
    parser.add_argument("--plan", action="store_true", help=about)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(options: argparse.Namespace) -> int:
    """Train a recipe or resume a run; return the exit code.

    Raises:
        ZooError: bad input, or an error that stopped the run.
        Stopped: a signal interrupted the training.
    """
    began = time.perf_counter()
    from zoo.system import launch, signals
    from zoo.system.threads import announce_threads

    if options.folds is not None or is_sweep(options.resume):
        return run_folds(options)
    if options.plan or options.json:
        return run_plan(options)
    start = launch.read()
    launch.follow_launcher()
    signals.install()
    with input_of_first(options, start) as (recipe, folder, done):
        if options.resume == "auto" and folder is None and start.main:
            print(f"resume     no unfinished run named {recipe.name} in {recipe.output.root}: starting a new one")
        if not done:  # a finished run no longer needs its images
            check_images(recipe, resumed=folder is not None)
        announce_threads(recipe.train.threads, start)
        from zoo.training.run import train

        train(recipe, folder, allow_change=options.allow_change, began=began)
    return 0


def check_images(recipe: Recipe, *, resumed: bool) -> None:
    """Check that the images can be at the place that the recipe gives.

    Raises:
        ZooError: they cannot; for a run that is resumed, the error says what to do if they were moved.
    """
    try:
        recipe.data.check()
    except ZooError as error:
        if not resumed or error.where != "data.root":
            raise
        todo = "start it in the folder where the run was started; if the images were moved: data.root=FOLDER --allow-change"
        raise ZooError(error.where, error.what, todo) from None


@contextlib.contextmanager
def input_of_first(options: argparse.Namespace, start: Launch) -> Iterator[tuple[Recipe, Path | None, bool]]:
    """Read the input on the first process and send it to all; on exit, disconnect from the other processes.

    Raises:
        ZooError: bad input, raised on all processes; or another process is gone.
    """
    found = read_input(options) if start.main else None
    with contextlib.ExitStack() as stack:
        if start.processes > 1:
            from zoo.system import launch
            from zoo.system.threads import announce_threads

            announce_threads("auto", start)
            from zoo.training import processes

            seconds = seconds_to_meet(options) if found is None else found[0].train.timeout
            stack.enter_context(launch.lost_processes(start, seconds))
            stack.callback(processes.leave)
            processes.meet(start, seconds)
            found = processes.from_first(start, lambda: found)
        assert found is not None
        yield found


def read_input(options: argparse.Namespace) -> tuple[Recipe, Path | None, bool]:
    """Return the recipe, the run folder to resume (None for a new one), and whether that run is finished.

    Raises:
        ZooError: bad input.
    """
    from zoo.recipe.load import load_recipe
    from zoo.results.folder import RESULT, RunFolder, newest_unfinished

    folder = run_folder(options.resume)
    recipe = load_recipe(*recipe_and_overrides(options, folder))
    if options.resume == "auto":
        folder = newest_unfinished(recipe.output.root, str(recipe.name))
    if folder is None:
        RunFolder.check(recipe.output.root)
    return recipe, folder, folder is not None and (folder / RESULT).exists()


def seconds_to_meet(options: argparse.Namespace) -> int:
    """Return the seconds to wait for the first process: from the recipe if this machine can read it, else the default."""
    from zoo.recipe.sections import Train

    try:
        return read_input(options)[0].train.timeout
    except ZooError:
        return Train().timeout


def run_plan(options: argparse.Namespace) -> int:
    """Print the predicted cost of a run; return the exit code.

    Raises:
        ZooError: bad input, or flags that conflict.
    """
    from zoo.system import launch
    from zoo.system.threads import announce_threads

    began = time.perf_counter()
    if not options.plan:
        raise ZooError("--json", "only goes with --plan", "add --plan")
    if options.resume is not None:
        raise ZooError("--plan", "plans a new run, and --resume resumes an old one", "give one of the two")
    start = launch.read()
    launch.follow_launcher()
    with input_of_first(options, start) as (recipe, _, _):
        recipe.data.check()
        announce_threads(recipe.train.threads, start)
        from zoo.training.plan import plan

        plan(recipe, as_json=options.json, began=began)
    return 0


def is_sweep(resume: str | None) -> bool:
    """Return whether `--resume` names the folder of several runs."""
    from zoo.sweep.folder import STATE

    return resume is not None and (Path(resume) / STATE).is_file()


def run_folds(options: argparse.Namespace) -> int:
    """Train a run for each fold; return the exit code.

    Raises:
        ZooError: bad input, or flags that conflict.
        Stopped: a signal interrupted the training.
    """
    from zoo.flags import whole_number
    from zoo.recipe.load import load_recipe
    from zoo.sweep.folds import begun_recipe, train_folds
    from zoo.system import launch, signals

    if launch.read().processes > 1:
        raise ZooError("launch", "--folds starts its processes itself", "start it without a launcher")
    for flag, given in (("--plan", options.plan), ("--json", options.json), ("--allow-change", options.allow_change)):
        if given:
            raise ZooError(flag, "does not go with several runs", "leave it out, or train one fold: data.folds=5 data.fold=0")
    if is_sweep(options.resume):
        if options.recipe is not None or options.folds is not None:
            what = "the folder already sets the recipe and the number of folds"
            raise ZooError("--resume", what, "give only --resume, or repeat the first command")
        folder = Path(options.resume)
        recipe = begun_recipe(folder)
    else:
        folds = whole_number("--folds", options.folds, 2, 5)
        if options.resume not in (None, "auto"):
            raise ZooError("--resume", f"no folds in {options.resume}", "leave it out: the same command continues")
        taken = next((word for word in options.overrides if word.startswith(("data.fold=", "data.folds="))), None)
        if taken is not None:
            raise ZooError(taken.partition("=")[0], "--folds sets it", "leave it out")
        path, overrides = recipe_and_overrides(options, None)
        folder, recipe = None, load_recipe(path, [*overrides, f"data.folds={folds}", "data.fold=0"])
    signals.install()
    return train_folds(recipe, folder)


def run_folder(resume: str | None) -> Path | None:
    """Return the run folder that `--resume` names, or None if it names none.

    Raises:
        ZooError: there is no run in the folder.
    """
    if resume in (None, "auto"):
        return None
    path = Path(str(resume))
    if not (path / "recipe.yaml").is_file():
        raise ZooError("--resume", f"no run in {path}", "give a run folder, or auto")
    return path


def recipe_and_overrides(options: argparse.Namespace, folder: Path | None) -> tuple[Path, list[str]]:
    """Return the recipe to train and the options to change; a resumed run uses its own recipe unless one is given.

    Raises:
        ZooError: no recipe was given.
    """
    recipe, overrides = options.recipe, options.overrides
    if folder is not None and (recipe is None or ("=" in str(recipe) and not recipe.exists())):
        return folder / "recipe.yaml", [*([str(recipe)] if recipe else []), *overrides]
    if recipe is None:
        raise ZooError("zoo train", "which recipe?", "give a recipe, 'zoo recipe --list' shows the shipped ones, or --resume RUN")
    return recipe, overrides
