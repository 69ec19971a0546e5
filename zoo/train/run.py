"""A training job from a recipe to a finished run folder: set up, fit, finish."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from accelerate.tracking import filter_trackers
from accelerate.utils import broadcast_object_list

from zoo.errors import StorageError, ZooError
from zoo.models.features import last_layer
from zoo.recipe.dump import dump_recipe
from zoo.recipe.recipe import Recipe
from zoo.recipe.upgrade import VERSION, upgraded
from zoo.results.epoch_table import heading
from zoo.results.folder import RunFolder
from zoo.system import launch, signals
from zoo.system.console import Console
from zoo.system.files import free_bytes
from zoo.system.hardware import environment
from zoo.train import checkpoint
from zoo.train.evaluate import Interrupted, evaluation_batch
from zoo.train.linear_probe import fit_head
from zoo.train.loop import fit, is_finished
from zoo.train.preflight import check_environment
from zoo.train.result import finish
from zoo.train.resume import flatten, recipe_changes, resume_run
from zoo.train.saver import Saver, splits_shown
from zoo.train.setup import set_up
from zoo.train.state import Progress, Setup


def train(recipe: Recipe, resume: Path | None = None, *, allow_change: bool = False) -> Path:
    """Run a recipe to its end.

    Args:
        recipe: what to do.
        resume: the run folder to go on with, None for a new one.
        allow_change: go on with a recipe that differs from the run's.

    Returns:
        The run folder.

    Raises:
        ZooError: bad input, before anything is written; or what stopped the run.
        Stopped: a signal asked for it.
    """
    start = launch.read()
    console = Console(quiet=not start.main)
    check_environment(recipe)
    if resume is None:
        RunFolder.check(recipe.output.root)
    with contextlib.ExitStack() as held, launch.lost_processes(start, recipe.train.timeout):
        changed: list[str] = []
        saved = None
        if resume is not None:
            recipe = upgraded(recipe, resume)
            changed = recipe_changes(recipe, resume, allowed=allow_change)
            if start.main:
                held.enter_context(RunFolder(resume).held())
                checkpoint.sweep(resume / "checkpoints")
            saved = checkpoint.newest(resume / "checkpoints")
        job = set_up(recipe, start, console, saved[1].state if saved else None)
        if saved is None and recipe.finetune.probe_first:
            last_layer(job.built.model, "finetune.probe_first")
        run = _open_run(job, resume)
        if start.main and resume is None:
            held.enter_context(run.held())
        signals.defer()
        progress = resume_run(job, run, saved, changed, main=start.main) if saved else Progress()
        if start.main and not is_finished(job.task, progress):
            # A run that was done and has more to do is not done.
            (run.path / "result.json").unlink(missing_ok=True)
        saver = Saver(job, run)
        try:
            if saved is None and recipe.finetune.probe_first:
                _probe(job)
            console.fact("run", str(run.path))
            console.line()
            console.line(heading(splits_shown(job)))
            fit(job.task, progress, on_epoch=saver.after_epoch, on_step=saver.after_step)
            finish(job, run, progress)
        except Interrupted:
            raise saver.stopped(progress) from None
        job.task.accelerator.end_training()
    return run.path


def _probe(job: Setup) -> None:
    """Start the head from a fit on frozen features; its time counts as training time."""
    started = time.perf_counter()
    task = job.task
    reached = fit_head(task.accelerator, job.built.model, task.train, job.recipe.image_size.end, evaluation_batch(task))
    if task.averaged is not None:
        task.averaged.set(job.built.model)
    job.probe_seconds = time.perf_counter() - started
    job.console.fact("probe", f"head fitted on frozen features: {reached:.2%} of the training images, {job.probe_seconds:.0f} s")


def _check_space(job: Setup, place: Path) -> None:
    """See that the checkpoints of a run will find room.

    Raises:
        StorageError: they will not.
    """
    output = job.recipe.output
    # The weights, two moments of each, perhaps an average; one more checkpoint than is kept while it is written.
    copies = 3 + (job.task.averaged is not None)
    size = checkpoint.size_of({"model": job.built.model.state_dict()})
    there = len(checkpoint.steps(place / "checkpoints"))
    kept = max(0, output.keep_last + output.keep_best - there)
    needed, free = size * (1 + copies * (kept + 1)), free_bytes(place)
    if needed > free:
        what = f"{place}: the run needs about {needed:,} bytes, {free:,} are free"
        raise StorageError("output.root", what, "free some space or choose another")


def _open_run(job: Setup, resume: Path | None) -> RunFolder:
    """Make the run folder, or open the one to go on with; every process gets the same."""
    accelerator, recipe = job.task.accelerator, job.recipe
    path: list[Any] = [None]
    if accelerator.is_main_process:
        _check_space(job, resume or recipe.output.root)
        path = [resume or RunFolder.create(recipe.output.root, str(recipe.name)).path]
    run = RunFolder(Path(broadcast_object_list(path)[0]))
    if accelerator.is_main_process and resume is None:
        run.write("recipe.yaml", dump_recipe(recipe))
        run.write_json(
            "environment.json",
            environment(
                device=job.device_name,
                processes=accelerator.num_processes,
                threads=job.threads,
                choice=str(job.choice),
                weights=job.built.source,
                recipe_version=VERSION,
            ),
        )
    if recipe.output.track:
        # Some trackers need a folder, which was not there when Accelerate was started.
        accelerator.log_with = filter_trackers(list(recipe.output.track), str(run.path))
        if len(accelerator.log_with) < len(recipe.output.track):
            raise ZooError("output.track", "Accelerate cannot use all of them here", f"usable: {accelerator.log_with or 'none'}")
        accelerator.project_configuration.set_directories(str(run.path))
        accelerator.init_trackers(str(recipe.name), config=flatten(recipe.model_dump(mode="json")))
    return run
