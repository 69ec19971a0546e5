"""The grid of a sweep: backbones x values of options x seeds. Each combination is a run with its own recipe."""

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

# Options that the sweep sets itself, each with a hint for the user.
OWN = {
    "name": "runs are named by what differs between them",
    "output.root": "use --out",
    "backbone.name": "give it as MODEL",
}
# The seed of a run.
SEED = "train.seed"
# Characters that a folder's name does not keep; they become an underscore.
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._+-]+")
# Maximum number of characters in a folder's name. File systems allow 255, and files beside it have longer names.
NAME_LETTERS = 180


@dataclass(frozen=True)
class Grid:
    """The arguments of a sweep.

    Attributes:
        recipe: recipe file, or the name of a shipped recipe.
        backbones: names of backbones; an unknown name becomes a row with an error.
        values: values of each varied option, by its dotted name.
        seeds: seeds; empty for the recipe's own seed.
        overrides: options for all runs, as `optim.lr=1e-3`.
        threads: CPU threads of each run whose recipe says `auto`; None keeps `auto`.
    """

    recipe: Path
    backbones: Sequence[str]
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    overrides: Sequence[str] = ()
    threads: int | None = None


@dataclass(frozen=True)
class Run:
    """One combination of backbone, values and seed.

    Attributes:
        name: name of the run's folder.
        backbone: name of the backbone.
        seed: seed of the run.
        values: value of each varied option.
        recipe: recipe of the run; None if it cannot be trained.
        status: if it cannot be trained: `unknown` (no such backbone) or `failed` (the recipe does not fit it); else ''.
        error: why it cannot be trained, or ''.
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
        ZooError: the recipe cannot be read, a backbone is listed twice, or an option is set twice or by the sweep itself.
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
    """Check that no option is set twice or is one that the sweep sets itself.

    Raises:
        ZooError: an option is.
    """
    given = [override.partition("=")[0] for override in grid.overrides]
    for key in (*given, *grid.values):
        # Varying a whole section would vary the option too. A section set for all runs is fine: the sweep's options override it.
        own = next((name for name in OWN if _holds(name, key) or (key in grid.values and _holds(key, name))), None)
        if own is not None:
            raise ZooError(key, "a sweep sets it itself" if key == own else f"a sweep sets {own} itself", OWN[own])
        if (key == SEED and grid.seeds) or (key in grid.values and (_holds(key, SEED) or _holds(SEED, key))):
            raise ZooError(key, "the seeds come from --seeds", "leave it out" if key == SEED else "give its options one by one")
    for key in grid.values:
        if key in given:
            raise ZooError(f"--set {key}", "is also set for all runs", "leave one of the two out")


def _holds(section: str, key: str) -> bool:
    """Return whether a key is a section's own key or below it."""
    return key == section or key.startswith(f"{section}.")


def _check_backbones(backbones: Sequence[str]) -> None:
    """Check that no backbone is listed twice; a name without a tag means timm's default tag.

    Raises:
        ZooError: a backbone is listed twice.
    """
    architectures = [name.partition(".")[0] for name in backbones]
    seen: dict[str, str] = {}
    for name, architecture in zip(backbones, architectures, strict=True):
        # Read the catalog only if two names share an architecture.
        entry = catalog.named(name) if architectures.count(architecture) > 1 else None
        if entry is not None and (other := seen.setdefault(entry.name, name)) != name:
            raise ZooError("MODEL", f"{other} and {name} are the same backbone, {entry.name}", "give it once")


def _unknown(name: str) -> str:
    """Return why a name is not the name of a backbone, or '' if it is."""
    try:
        names.check_backbone(name)
    except ValueError as error:
        return str(error)
    return ""


def _read(grid: Grid, backbone: str, values: Mapping[str, Any]) -> Recipe | ZooError:
    """Return the recipe of a combination, or its mistakes.

    Raises:
        ZooError: the recipe file cannot be read.
    """
    # JSON is valid YAML, so a value reads back unchanged.
    chosen = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    try:
        return load_recipe(grid.recipe, [*grid.overrides, f"backbone.name={backbone}", *chosen])
    except Mistakes as mistakes:
        return mistakes


def _of_run(recipe: Recipe, run: Run, threads: int | None) -> Recipe:
    """Return the recipe of one run, with its name, seed and threads set."""
    train = {"seed": run.seed}
    if threads is not None and recipe.train.threads == "auto":
        train["threads"] = threads
    return recipe.model_copy(update={"name": run.name, "train": recipe.train.model_copy(update=train)})


def at(run: Run, root: Path) -> Run:
    """Return a copy of a run whose recipe writes into a folder under `root`."""
    if run.recipe is None:
        return run
    output = run.recipe.output.model_copy(update={"root": root})
    return replace(run, recipe=run.recipe.model_copy(update={"name": run.name, "output": output}))


# --------------------------------------------------------------------------------------- names


def _name(backbone: str, values: Mapping[str, Any], seed: int) -> str:
    """Return a plain folder name that shows what a run varies, such as `resnet18-lr0.001-seed0`."""
    last = [key.rpartition(".")[2] for key in values]
    # Options of different sections with the same last name keep their full dotted names.
    short = [name if last.count(name) == 1 else key for name, key in zip(last, values, strict=True)]
    parts = [f"{name}{value_text(value)}" for name, value in zip(short, values.values(), strict=True)]
    name = NOT_PLAIN.sub("_", "-".join([backbone.lstrip("."), *parts, f"seed{seed}"]))
    if len(name) <= NAME_LETTERS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: NAME_LETTERS - 9]}-{digest}"


def value_text(value: Any) -> str:
    """Return an option's value as short text for a name; numbers are as short as possible without losing precision."""
    if isinstance(value, dict):
        return "-".join(f"{key}-{value_text(part)}" if key != "kind" else value_text(part) for key, part in value.items())
    if isinstance(value, list):
        return "-".join(map(value_text, value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def _named_apart(runs: Sequence[Run]) -> Iterator[Run]:
    """Append a number to repeated names: values may differ only in characters that a folder's name does not keep."""
    seen: dict[str, int] = {}
    for run in runs:
        # Some file systems do not distinguish upper and lower case.
        count = seen[run.name.lower()] = seen.get(run.name.lower(), 0) + 1
        name = run.name if count == 1 else f"{run.name}-{count}"
        recipe = run.recipe and run.recipe.model_copy(update={"name": name})
        yield replace(run, name=name, recipe=recipe)
