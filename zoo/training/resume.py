"""Resume a run: compare its recipe and hardware, restore its state."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.data.changes import check_unchanged
from zoo.errors import ZooError
from zoo.optim.state import unpack_state
from zoo.recipe.differences import differences
from zoo.recipe.dump import dump_recipe
from zoo.recipe.recipe import Recipe
from zoo.recipe.upgrade import run_recipe
from zoo.results.folder import RunFolder
from zoo.results.result import read_result
from zoo.section import AUTO, Section, decided
from zoo.system import launch
from zoo.training import processes
from zoo.training.auto import chosen_best
from zoo.training.checkpoint import Checkpoint
from zoo.training.evaluate import running_statistics
from zoo.training.saver import FORMAT, environment_facts
from zoo.training.setup import Setup
from zoo.training.state import Progress, Training, epoch_batches

# Options that may not change: with another value, a checkpoint would no longer have the same meaning.
FIXED = (
    *("backbone", "data", "image_size", "train.batch_size", "train.seed", "finetune.freeze", "finetune.stages"),
    *("finetune.lora", "train.ema", "eval.select_by", "eval.tta"),
    # The path of the teacher may change: its digest identifies it.
    "distill.kind",
)

# Images may be moved: those of another folder are compared with the ones that the run began with.
MOVABLE = "data.root"

# Options that are chosen at the start of a run, by section. Options that are measured stay `auto` in its recipe.
DECIDED = {"train": ("epochs", "batch_size"), "augment": ("hflip",), "finetune": ("batch_norm",), "output": ("keep_best",)}


def recipe_changes(recipe: Recipe, run: Path, *, allowed: bool) -> list[str]:
    """Return the options that differ from those a run was started with, as `optim.lr 0.1 -> 0.2`.

    Args:
        recipe: the recipe asked for now.
        run: the folder of the run.
        allowed: whether options may differ; those of `FIXED` never may, except `MOVABLE`.

    Raises:
        ZooError: options differ that must not; the error names them.
    """
    differ = differences(run_recipe(run), recipe)
    texts = {difference.key: f"{difference.key} {' -> '.join(difference.texts)}" for difference in differ}
    fixed = [key for key in texts if key != MOVABLE and any(key == name or key.startswith(f"{name}.") for name in FIXED)]
    # A time may change, but it cannot replace a number of epochs, or be replaced by one.
    fixed += [found.key for found in differ if found.key == "train.max_minutes" and None in (found.a, found.b)]
    refused = fixed if allowed else list(texts)
    if refused:
        listed = ", ".join(texts[key] for key in refused)
        todo = "these cannot change within a run: start a new one" if allowed else "drop the change or start a new run"
        if not fixed:
            todo = "drop the change, start a new run, or --allow-change"
        raise ZooError("--resume", f"recipe differs: {listed}", todo)
    return list(texts.values())


def as_decided(recipe: Recipe, run: Path) -> Recipe:
    """Return a recipe with its open options set to the values that a run chose when it began.

    Args:
        recipe: the recipe asked for now.
        run: the folder of the run.
    """
    was = run_recipe(run)
    sections: dict[str, Section] = {}
    for section, options in DECIDED.items():
        asked, began = getattr(recipe, section), getattr(was, section)
        left_open = [option for option in options if getattr(asked, option) == AUTO]
        sections[section] = asked.model_copy(update={option: getattr(began, option) for option in left_open})
    if recipe.output.keep_best == AUTO and recipe.train.soup != was.train.soup:
        # So far, the run kept as many checkpoints as its old `train.soup` needed.
        sections["output"] = recipe.output.model_copy(update={"keep_best": chosen_best(recipe.train.soup)})
    size = recipe.image_size
    if AUTO in (size.start, size.end):
        sides = {option: getattr(was.image_size, option) for option in ("start", "end") if getattr(size, option) == AUTO}
        sections["image_size"] = size.model_copy(update={**sides, "multiple": was.image_size.multiple})
    return recipe.model_copy(update=sections)


@dataclass(frozen=True)
class SavedRun:
    """A run that is resumed.

    Attributes:
        run: its folder.
        place: the folder of its newest whole checkpoint.
        checkpoint: the content of this checkpoint.
        damaged: a message for each newer checkpoint that was skipped because it is damaged.
        changed: the options that differ from the run's, as `optim.lr 0.1 -> 0.2`.
        done: whether there is nothing left to do.

    Only the first process has the tensors of the checkpoint; `resume_run` sends them to the others.
    """

    run: Path
    place: Path
    checkpoint: Checkpoint
    damaged: list[str]
    changed: list[str]
    done: bool


def check_format(state: dict[str, Any]) -> None:
    """Check that a checkpoint has the format that this version reads.

    Raises:
        ZooError: it has another format.
    """
    if state.get("format") != FORMAT:
        raise ZooError("--resume", "the run was started with another version of zoo", "start a new run")


def is_done(recipe: Recipe, run: RunFolder, state: dict[str, Any]) -> bool:
    """Check whether a run has its result and no epoch left to train; a damaged result counts as missing."""
    patience = recipe.train.patience
    # A run with a given time has as many steps as its plan.
    if recipe.train.max_minutes is not None:
        same_time = state["budget"]["seconds"] == 60 * recipe.train.max_minutes
        over = same_time and bool(state["history"]) and state["history"][-1]["step"] >= state["plan"][-1]["steps"]
    else:
        over = len(state["history"]) >= decided(recipe.train.epochs)
    over = over or (patience is not None and state["waited"] >= patience)
    if not over:
        return False
    try:
        result = read_result(run)
    except ZooError:
        return False
    return result is not None and result.status == "done" and result.steps == state["step"]


def resume_run(setup: Setup, run: RunFolder, saved: SavedRun) -> Progress:
    """Restore a run from its checkpoint; print which one, and what differs from before.

    Raises:
        ZooError: the checkpoint does not fit.
    """
    console = setup.console
    for text in saved.damaged:
        console.warn(f"{text}; resuming from {saved.place.name}")
    console.fact("resumed", f"from {saved.place}")
    began = saved.checkpoint.state["began"]
    differ = _other_facts(setup, began)
    for key, now in differ.items():
        console.warn(f"{key}: {began.get(key)} when the run began, {now} now: results may differ in the last digits")
    device = setup.training.accelerator.device
    progress = restore(setup, processes.share_checkpoint(launch.read(), saved.checkpoint, device))
    if saved.changed:
        console.fact("changed", ", ".join(saved.changed))
        if setup.training.accelerator.is_main_process:
            _record_changes(setup, run, progress.step, saved.changed)
    if setup.training.accelerator.is_main_process:
        _record_session(setup, run, differ)
    return progress


def _other_facts(setup: Setup, began: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that have changed since the run began and that decide the last digits of results, as they are now."""
    now = environment_facts(setup)
    if began.get("device") == setup.training.accelerator.device.type == "cpu":
        del now["device"]  # earlier versions wrote "cpu" for every processor
    return {key: value for key, value in now.items() if began.get(key) != value}


def _record_session(setup: Setup, run: RunFolder, differ: dict[str, Any]) -> None:
    """Record the facts that have changed since the run began, and the number of threads: `zoo eval` uses as many."""
    with contextlib.suppress(ZooError):  # a run without this file can be resumed
        environment = run.read_json("environment.json")
        if differ or environment.get("threads") != setup.threads:
            resumed = {"resumed_with": environment.get("resumed_with", {}) | differ} if differ else {}
            run.write_json("environment.json", environment | {"threads": setup.threads} | resumed)


def _record_changes(setup: Setup, run: RunFolder, step: int, changed: list[str]) -> None:
    environment = run.read_json("environment.json")
    environment.setdefault("changes", []).append({"step": step, "changed": changed})
    run.write_json("environment.json", environment)
    run.write("recipe.yaml", dump_recipe(setup.recipe))


def restore(setup: Setup, saved: Checkpoint) -> Progress:
    """Restore the model, its average, the optimizer and the progress from a checkpoint.

    Raises:
        ZooError: the checkpoint is of another model or data.
    """
    training, state = setup.training, saved.state
    check_unchanged(setup.inputs.data, state)
    load_model(setup, saved)
    if state["optimizer"]["name"] == setup.recipe.optim.name:
        unpack_state(training.plain_optimizer, training.learner, saved.tensors["optimizer"], state["optimizer"])
    else:
        setup.console.warn(
            f"{setup.recipe.optim.name} starts without the state of {state['optimizer']['name']} from earlier steps"
        )
    if training.accelerator.scaler is not None and "scaler" in state:
        training.accelerator.scaler.load_state_dict(state["scaler"])
    setup.probe_seconds = state["probe_seconds"]
    # Runs of earlier versions cached no features.
    setup.feature_seconds = state.get("feature_seconds", 0.0)
    if training.budget is not None:
        training.budget.resume(state["step"], state["plan"], state["budget"])
    _restore_statistics(training, saved)
    best = tuple(state["best"]) if state["best"] else None
    progress = Progress(state["step"], state["history"], best, state["waited"], _own_sums(training, state["partial"]))
    cut_short = progress.step % training.steps_per_epoch > 0 and len(progress.history) * training.steps_per_epoch > progress.step
    if cut_short and training.steps > progress.step:
        _reopen(training, progress)
    return progress


def _reopen(training: Training, progress: Progress) -> None:
    """Remove the row of an epoch that was cut short: the run was given more time, and the epoch continues."""
    row = progress.history.pop()
    batches = epoch_batches(training.seed, row["epoch"] - 1, training.train, training.batch_size, training.sampler)
    images = sum(map(len, batches[: progress.step % training.steps_per_epoch]))
    # Sums over all processes, which the first one takes.
    mine = images * training.accelerator.is_main_process
    progress.partial = {
        "seconds": row["seconds"],
        "data_seconds": row["data_share"] * row["seconds"],
        "images": images,
        "loss": row["train.loss"] * mine,
        "hits": row["train.accuracy"] * mine,
        "skipped": row.get("skipped_steps", 0),
    }
    if progress.best is not None and progress.best[0] == row["epoch"]:
        # The epoch will have another score, and the best one before it may have no checkpoint any more.
        progress.best, progress.waited = None, 0
    else:
        # The epoch will be evaluated again.
        progress.waited = max(0, progress.waited - 1)


def _own_sums(training: Training, saved: dict[str, Any]) -> dict[str, float]:
    """Return this process's share of an interrupted epoch's sums; with another number of processes, rank 0 takes all."""
    rank, processes = training.accelerator.process_index, training.accelerator.num_processes
    partial = dict(saved)
    for key in ("loss", "hits"):
        if partial:
            values = partial[key]
            partial[key] = values[rank] if len(values) == processes else sum(values) * (rank == 0)
    return partial


def _restore_statistics(training: Training, saved: Checkpoint) -> None:
    """Restore this process's own BatchNorm running statistics, if the number of processes is the same."""
    own = saved.tensors.get("statistics", {}).get("of_each_process")  # [processes, all statistics]
    if own is not None and len(own) == training.accelerator.num_processes:
        mine = running_statistics(training)
        sizes = [buffer.numel() for buffer in mine]
        if own.shape[1] != sum(sizes):
            # Feature caching was switched on or off: a frozen backbone's statistics are the same in all processes.
            return
        parts = own[training.accelerator.process_index].split(sizes)
        for buffer, values in zip(mine, parts, strict=True):
            buffer.copy_(values.view_as(buffer))


def load_model(setup: Setup, saved: Checkpoint) -> None:
    """Load a checkpoint's tensors into the model, its average and its projection to the teacher's features."""
    setup.bare_model.load_state_dict(saved.tensors["model"])
    if setup.training.distillation is not None and setup.training.distillation.projected is not None:
        setup.training.distillation.projected.projection.load_state_dict(saved.tensors["projection"])
    if setup.training.averaged is not None:
        setup.training.averaged.module.load_state_dict(saved.tensors["averaged"])
