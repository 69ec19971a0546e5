"""Train from a recipe to a finished run folder: set up, fit, finish."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import filter_trackers
from accelerate.utils import broadcast_object_list

from zoo.errors import StorageError, ZooError, first_line
from zoo.models.features import last_layer
from zoo.recipe.differences import flatten
from zoo.recipe.dump import dump_recipe
from zoo.recipe.recipe import Recipe
from zoo.recipe.upgrade import VERSION, upgraded
from zoo.results.epoch_table import heading
from zoo.results.folder import RESULT, RunFolder
from zoo.section import decided
from zoo.system import launch, signals
from zoo.system.console import Console, plural
from zoo.system.device import gpu_facts, reset_peak_memory
from zoo.system.files import free_bytes
from zoo.system.hardware import environment
from zoo.system.launch import Launch
from zoo.system.memory import lacks_memory
from zoo.system.table import percent
from zoo.training import checkpoint, processes
from zoo.training.auto import Decided, decide
from zoo.training.cached_features import use_features
from zoo.training.evaluate import Interrupted
from zoo.training.linear_probe import start_head
from zoo.training.loop import fit, is_finished
from zoo.training.preflight import check_environment
from zoo.training.result import finish
from zoo.training.resume import SavedRun, as_decided, check_format, is_done, recipe_changes, resume_run
from zoo.training.saver import Saver, splits_shown, teacher_facts
from zoo.training.setup import Setup, set_up
from zoo.training.state import Progress
from zoo.training.timing import time_evaluation


def train(
    recipe: Recipe,
    resume: Path | None = None,
    *,
    allow_change: bool = False,
    until_epoch: int | None = None,
    began: float | None = None,
) -> Path:
    """Run a recipe to its end.

    Args:
        recipe: the recipe of the run.
        resume: the run folder to resume, None for a new one.
        allow_change: resume with a recipe that differs from the run's.
        until_epoch: the epoch after which to pause with a checkpoint; a later call that resumes it gives the same bits as a run
            without a pause. None: no pause.
        began: `time.perf_counter()` when the program began, from which `train.max_minutes` counts; None: now.

    Returns:
        The run folder.

    Raises:
        ZooError: bad input, before anything is written; or an error that stopped the run.
        Stopped: a signal asked the run to stop.
    """
    began = time.perf_counter() if began is None else began
    start = launch.read()
    console = Console(quiet=not start.main)
    check_environment(recipe)
    with contextlib.ExitStack() as stack, launch.lost_processes(start, recipe.train.timeout):
        processes.meet(start, recipe.train.timeout)
        decided, saved = _begin(recipe, resume, start, stack, allow_change=allow_change)
        recipe = decided.recipe
        if saved and saved.done:
            _describe_done(saved, recipe, console)
            return saved.run
        state = saved.checkpoint.state if saved else None
        setup = set_up(recipe, start, console, state, began=began, reasons=decided.reasons)
        probe_first = saved is None and recipe.finetune.probe_first
        if probe_first:
            last_layer(setup.bare_model, "finetune.probe_first")
        run = _open_run(setup, resume)
        if start.main and resume is None:
            stack.enter_context(run.held())
        signals.defer()
        progress = resume_run(setup, run, saved) if saved else Progress()
        processes.wait_at_most(start, recipe.train.timeout)
        _train(setup, run, progress, probe_first=probe_first, until_epoch=until_epoch)
    return run.path


def _begin(
    recipe: Recipe, resume: Path | None, start: Launch, stack: contextlib.ExitStack, *, allow_change: bool
) -> tuple[Decided, SavedRun | None]:
    """Return the recipe with its open options chosen, and the run to resume, if there is one.

    Raises:
        ZooError: the run cannot be written or resumed, or its images are invalid; raised on all processes.
    """
    if resume:
        meant, saved = _open_run_to_resume(recipe, resume, start, stack, allow_change=allow_change)
        return Decided(meant, ()), saved
    processes.from_first(start, lambda: RunFolder.check(recipe.output.root))
    return processes.from_first(start, lambda: decide(recipe)), None


def _describe_done(saved: SavedRun, recipe: Recipe, console: Console) -> None:
    """Say that there is nothing to resume."""
    ignored = f"; ignored: {', '.join(saved.changed)}" if saved.changed else ""
    longer = "train.epochs=N" if recipe.train.max_minutes is None else "train.max_minutes=N"
    todo = f"{longer} --allow-change trains longer"
    console.fact("done", f"{saved.run} is finished, and nothing was changed{ignored} ({todo})")


def _open_run_to_resume(
    recipe: Recipe, folder: Path, start: Launch, stack: contextlib.ExitStack, *, allow_change: bool
) -> tuple[Recipe, SavedRun]:
    """Lock a run and read its newest whole checkpoint on the first process; return the recipe as decided by the run, and the run.

    Raises:
        ZooError: the recipe differs, another process works in the folder, or there is no checkpoint; raised on all.
    """
    found: list[checkpoint.Checkpoint] = []

    def read() -> tuple[Recipe, SavedRun]:
        meant = as_decided(upgraded(recipe, folder), folder)
        changed = recipe_changes(meant, folder, allowed=allow_change)
        stack.enter_context(RunFolder(folder).held())
        checkpoint.sweep(folder / "checkpoints")
        place, newest, damaged = checkpoint.newest(folder / "checkpoints")
        check_format(newest.state)
        found.append(newest)
        done = is_done(meant, RunFolder(folder), newest.state)
        # The tensors are sent later, when there is a device to send them over.
        return meant, SavedRun(folder, place, replace(newest, tensors={}), damaged, changed, done)

    meant, saved = processes.from_first(start, read)
    return meant, replace(saved, checkpoint=found[0]) if found else saved


def _train(setup: Setup, run: RunFolder, progress: Progress, *, probe_first: bool, until_epoch: int | None) -> None:
    """Run the loop to its end and finish the run, or pause it after the epoch `until_epoch`."""
    # The peak memory of training is reported, without the measurements before it.
    reset_peak_memory(setup.training.accelerator.device)
    if launch.read().main:
        # A run that was done and is resumed to train longer is not done.
        (run.path / RESULT).unlink(missing_ok=True)
    saver = Saver(setup, run, until_epoch)
    try:
        if probe_first:
            _probe(setup)
        use_features(setup)
        if setup.training.budget is not None:
            setup.training.budget.before_training(partial(time_evaluation, setup.training))
        setup.console.fact("run", str(run.path))
        setup.console.line()
        setup.console.line(heading(splits_shown(setup)))
        if setup.training.stages is not None:
            setup.training.stages.say = setup.console.line
        fit(setup.training, progress, on_epoch=saver.after_epoch, on_step=saver.after_step, until_epoch=until_epoch)
        if is_finished(setup.training, progress):
            finish(setup, run, progress)
    except Interrupted:
        raise saver.stopped(progress) from None
    except RuntimeError as error:
        raise _in_one_line(error, progress) from None
    setup.training.accelerator.end_training()


def _in_one_line(error: RuntimeError, progress: Progress) -> Exception:
    """Return a one-line error for an error of torch that has a known remedy; return any other as it is."""
    where = f"step {progress.step + 1}"
    if lacks_memory(error):
        return ZooError(
            where, f"out of memory: {first_line(error)}", "lower train.batch_size or image_size, then start a new run"
        )
    if "does not have a deterministic implementation" in str(error):
        return ZooError("train.deterministic", first_line(error), "set it to false")
    return error


def _probe(setup: Setup) -> None:
    """Initialize the head with a fit on frozen features; its time counts as training time."""
    started = time.perf_counter()
    setup.console.fact("probe", f"fitting the head on frozen features of {plural(len(setup.training.train), 'image')}")
    reached = start_head(setup)
    setup.probe_seconds = time.perf_counter() - started
    setup.console.fact(
        "probe", f"head fitted on frozen features: {percent(reached, 2)} of the training images, {setup.probe_seconds:.0f} s"
    )


def _check_space(setup: Setup, place: Path) -> None:
    """Check that there is enough disk space for the checkpoints of a run.

    Raises:
        StorageError: there is too little.
    """
    output = setup.recipe.output
    # The weights, two moments of each, perhaps an average. While a checkpoint is written, there is one more than is kept.
    copies = 3 + (setup.training.averaged is not None)
    size = checkpoint.size_of({"model": setup.bare_model.state_dict()})
    there = len(checkpoint.steps(place / "checkpoints"))
    kept = max(0, output.keep_last + decided(output.keep_best) - there)
    needed, free = size * (1 + copies * (kept + 1)), free_bytes(place)
    if needed > free:
        what = f"{place}: the run needs about {needed:,} bytes, {free:,} are free"
        raise StorageError("output.root", what, "free some space or choose another")


def _open_run(setup: Setup, resume: Path | None) -> RunFolder:
    """Create the run folder, or open the one to resume; it is the same on every process."""
    accelerator, recipe, budget = setup.training.accelerator, setup.recipe, setup.training.budget
    if resume is None and budget is not None:
        # The first process decides, because each has its own clock.
        processes.from_first(launch.read(), budget.check)
    path: list[Any] = [None]
    if accelerator.is_main_process:
        _check_space(setup, resume or recipe.output.root)
        path = [resume or RunFolder.create(recipe.output.root, str(recipe.name)).path]
    run = RunFolder(Path(broadcast_object_list(path)[0]))
    if accelerator.is_main_process and resume is None:
        run.write("recipe.yaml", dump_recipe(recipe))
        run.write_json(
            "environment.json",
            environment(
                device=setup.device_name,
                processes=accelerator.num_processes,
                threads=setup.threads,
                choice=str(setup.execution.choice),
                weights=setup.model.built.source,
                recipe_version=VERSION,
                **teacher_facts(setup),
                **({"gpu": gpu_facts(accelerator.device)} if accelerator.device.type != "cpu" else {}),
            ),
        )
    if recipe.output.track:
        _start_trackers(recipe, accelerator, run)
    return run


def _start_trackers(recipe: Recipe, accelerator: Accelerator, run: RunFolder) -> None:
    """Start Accelerate's trackers: some need the run folder, which did not exist when Accelerate was started.

    Raises:
        ZooError: Accelerate cannot use one of them here.
    """
    accelerator.log_with = filter_trackers(list(recipe.output.track), str(run.path))
    if len(accelerator.log_with) < len(recipe.output.track):
        raise ZooError(
            "output.track", "Accelerate cannot use some of the trackers here", f"usable: {accelerator.log_with or 'none'}"
        )
    accelerator.project_configuration.set_directories(str(run.path))
    # One level of names and text values: some trackers take nothing else.
    config = {key: str(value) for key, value in flatten(recipe.model_dump(mode="json")).items()}
    accelerator.init_trackers(str(recipe.name), config=config)
