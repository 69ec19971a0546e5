"""Going on with a run: is it the same recipe, the same machine, and is nobody else at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.recipe.dump import dump_recipe
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe
from zoo.recipe.upgrade import upgraded
from zoo.results.folder import RunFolder
from zoo.train.checkpoint import Checkpoint
from zoo.train.saver import environment_facts, restore
from zoo.train.state import Progress, Setup

# What a step is and what is trained on what: with another one, nothing of a checkpoint would mean the same.
FIXED = ("backbone", "data", "image_size", "train.batch_size", "train.seed", "finetune.freeze", "train.ema", "eval.select_by")


def recipe_changes(recipe: Recipe, run: Path, *, allowed: bool) -> list[str]:
    """The options that differ from what a run was started with, as `optim.lr 0.1 -> 0.2`.

    Args:
        recipe: what is asked for now.
        run: the folder of the run.
        allowed: whether options may differ; some may not in any case.

    Raises:
        ZooError: naming the options that must not differ.
    """
    now = flatten(recipe.model_dump(mode="json"))
    then = flatten(upgraded(load_recipe(run / "recipe.yaml"), run).model_dump(mode="json"))
    differ = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    fixed = [key for key in differ if any(key == name or key.startswith(f"{name}.") for name in FIXED)]
    refused = fixed if allowed else differ
    if refused:
        listed = ", ".join(f"{key} {then.get(key)} -> {now.get(key)}" for key in refused)
        todo = "these cannot change within a run: start a new one" if allowed else "drop the change or start a new run"
        if not fixed:
            todo = "drop the change, start a new run, or --allow-change"
        raise ZooError("--resume", f"recipe differs: {listed}", todo)
    return [f"{key} {then.get(key)} -> {now.get(key)}" for key in differ]


def resume_run(
    job: Setup, run: RunFolder, saved: tuple[Path, Checkpoint, list[str]], changed: list[str], *, main: bool
) -> Progress:
    """Restore a run from its checkpoint; say from which, and what is not as it was.

    Raises:
        ZooError: the checkpoint does not fit.
    """
    folder, state, passed = saved
    for text in passed:
        job.console.warn(f"{text}; going on from {folder.name}")
    job.console.fact("resumed", f"from {folder}")
    began, now = state.state["began"], environment_facts(job)
    for key in now:
        if began.get(key) != now[key]:
            job.console.warn(f"{key}: {began.get(key)} when the run began, {now[key]} now: results may differ in the last digits")
    progress = restore(job, state)
    if changed:
        job.console.fact("changed", ", ".join(changed))
    if changed and main:
        environment = run.read_json("environment.json")
        environment.setdefault("changes", []).append({"step": progress.step, "changed": changed})
        run.write_json("environment.json", environment)
        run.write("recipe.yaml", dump_recipe(job.recipe))
    return progress


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options with dotted names: some trackers take no other."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return found
