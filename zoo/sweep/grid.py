"""The grid of a sweep: backbones x values of options x seeds, each combination a run with a recipe of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.errors import Mistakes, ZooError
from zoo.models import catalog, names
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe

# Options that the sweep sets itself, and how it is told.
OWN = {
    "name": "runs are named by what differs between them",
    "output.root": "--out says where",
    "backbone.name": "give it as MODEL",
}
# The seed of a run.
SEED = "train.seed"
# What a folder's name keeps of a value; anything else becomes an underscore.
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._+-]+")
# Letters of a folder's name: file systems take 255, and files beside it have longer ones.
NAME_LETTERS = 180


@dataclass(frozen=True)
class Grid:
    """A sweep as it was asked for.

    Attributes:
        recipe: the recipe file, or the name of a shipped one.
        backbones: names; an unknown one becomes a row.
        values: the values of each option that is varied, by its dotted name.
        seeds: seeds; empty for the recipe's own.
        overrides: options of all runs, as `optim.lr=1e-3`.
        threads: CPU threads of each run where the recipe leaves them open; None leaves them open too.
    """

    recipe: Path
    backbones: Sequence[str]
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    overrides: Sequence[str] = ()
    threads: int | None = None


@dataclass(frozen=True)
class Run:
    """One combination.

    Attributes:
        name: the name of its folder.
        backbone: the name of the backbone.
        seed: its seed.
        values: the value of each option that is varied.
        recipe: what to do; None where it cannot be trained.
        status: `unknown` (no such backbone) or `failed` (the recipe does not fit it) where it cannot be trained.
        error: why it cannot be.
    """

    name: str
    backbone: str
    seed: int
    values: Mapping[str, Any]
    recipe: Recipe | None
    status: str = ""
    error: str = ""

    @property
    def trainable(self) -> Recipe:
        """Return the recipe of a run that can be trained."""
        assert self.recipe is not None
        return self.recipe


def runs_of(grid: Grid) -> list[Run]:
    """Return a run for each combination, in the order backbones, values, seeds.

    Raises:
        Mistakes: the recipe, an option or a value is wrong for every backbone.
    """
    _check_options(grid)
    _check_backbones(grid.backbones)
    combinations = [dict(zip(grid.values, chosen, strict=True)) for chosen in itertools.product(*grid.values.values())]
    known = {name: _unknown(name) for name in grid.backbones}
    read = {
        (name, number): _read(grid, name, values)
        for name in grid.backbones
        if not known[name]
        for number, values in enumerate(combinations)
    }
    for number in range(len(combinations)):
        of_all = [read[key] for key in read if key[1] == number]
        if of_all and all(isinstance(found, ZooError) for found in of_all):
            raise next(found for found in of_all if isinstance(found, ZooError))
    seed = next((found.train.seed for found in read.values() if isinstance(found, Recipe)), 0)
    found: list[Run] = []
    for name, (number, values), each in itertools.product(grid.backbones, enumerate(combinations), grid.seeds or [seed]):
        run = Run(_name(name, values, each), name, each, values, None)
        recipe = read.get((name, number))
        if isinstance(recipe, Recipe):
            found.append(replace(run, recipe=_of_run(recipe, run, grid.threads)))
        elif recipe is not None:
            found.append(replace(run, status="failed", error=recipe.lines[0]))
        else:
            found.append(replace(run, status="unknown", error=known[name]))
    return list(_named_apart(found))


def _check_options(grid: Grid) -> None:
    """Check that options are not set twice.

    Raises:
        ZooError: one is, or is the sweep's own.
    """
    given = [override.partition("=")[0] for override in grid.overrides]
    for key in (*given, *grid.values):
        # A section that is varied holds the option too; one that is set for all runs is read before the sweep's own.
        own = next((name for name in OWN if _holds(name, key) or (key in grid.values and _holds(key, name))), None)
        if own is not None:
            raise ZooError(key, "a sweep sets it itself" if key == own else f"a sweep sets {own} itself", OWN[own])
        if (key == SEED and grid.seeds) or (key in grid.values and (_holds(key, SEED) or _holds(SEED, key))):
            raise ZooError(key, "the seeds are those of --seeds", "leave it out" if key == SEED else "give single options")
    for key in grid.values:
        if key in given:
            raise ZooError(f"--set {key}", "is set for all runs too", "leave one of the two out")


def _holds(section: str, key: str) -> bool:
    """Return whether a key is that of a section, or below it."""
    return key == section or key.startswith(f"{section}.")


def _check_backbones(backbones: Sequence[str]) -> None:
    """Check that no backbone is there twice: without a tag, a name stands for timm's default one.

    Raises:
        ZooError: one is.
    """
    architectures = [name.partition(".")[0] for name in backbones]
    seen: dict[str, str] = {}
    for name, architecture in zip(backbones, architectures, strict=True):
        # The whole table is read only where it is needed.
        entry = catalog.named(name) if architectures.count(architecture) > 1 else None
        if entry is not None and (other := seen.setdefault(entry.name, name)) != name:
            raise ZooError("MODEL", f"{other} and {name} are the same backbone, {entry.name}", "give it once")


def _unknown(name: str) -> str:
    """Return why a name is not that of a backbone; '' where it is."""
    try:
        names.check_backbone(name)
    except ValueError as error:
        return str(error)
    return ""


def _read(grid: Grid, backbone: str, values: Mapping[str, Any]) -> Recipe | ZooError:
    """Return the recipe of a combination, or what is wrong with it.

    Raises:
        ZooError: the file cannot be read, whatever the combination.
    """
    # JSON is YAML: a value reads back to itself.
    chosen = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    try:
        return load_recipe(grid.recipe, [*grid.overrides, f"backbone.name={backbone}", *chosen])
    except Mistakes as mistakes:
        return mistakes


def _of_run(recipe: Recipe, run: Run, threads: int | None) -> Recipe:
    """Return the recipe of one run: with its name, its seed and its threads."""
    train = {"seed": run.seed}
    if threads is not None and recipe.train.threads == "auto":
        train["threads"] = threads
    return recipe.model_copy(update={"name": run.name, "train": recipe.train.model_copy(update=train)})


def at(run: Run, root: Path) -> Run:
    """Return a run whose recipe writes into a folder of this root."""
    if run.recipe is None:
        return run
    output = run.recipe.output.model_copy(update={"root": root})
    return replace(run, recipe=run.recipe.model_copy(update={"name": run.name, "output": output}))


# --------------------------------------------------------------------------------------- names


def _name(backbone: str, values: Mapping[str, Any], seed: int) -> str:
    """Return a plain folder name that says what a run differs by, such as `resnet18-lr0.001-seed0`."""
    last = [key.rpartition(".")[2] for key in values]
    # Two options of the same last name, such as those of two sections, keep their whole names.
    short = [name if last.count(name) == 1 else key for name, key in zip(last, values, strict=True)]
    parts = [f"{name}{value_text(value)}" for name, value in zip(short, values.values(), strict=True)]
    name = NOT_PLAIN.sub("_", "-".join([backbone.lstrip("."), *parts, f"seed{seed}"]))
    if len(name) <= NAME_LETTERS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: NAME_LETTERS - 9]}-{digest}"


def value_text(value: Any) -> str:
    """Return a value of an option as one word, more or less: numbers as short as they are exact."""
    if isinstance(value, dict):
        return "-".join(f"{key}-{value_text(part)}" if key != "kind" else value_text(part) for key, part in value.items())
    if isinstance(value, list):
        return "-".join(map(value_text, value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def _named_apart(runs: Sequence[Run]) -> Iterator[Run]:
    """Give runs whose names are the same a number each: values may differ by what a folder's name cannot hold."""
    seen: dict[str, int] = {}
    for run in runs:
        # Some file systems take capital and small letters for the same.
        count = seen[run.name.lower()] = seen.get(run.name.lower(), 0) + 1
        name = run.name if count == 1 else f"{run.name}-{count}"
        recipe = run.recipe and run.recipe.model_copy(update={"name": name})
        yield replace(run, name=name, recipe=recipe)
