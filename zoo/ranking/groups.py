"""Group runs that are repetitions of one recipe: they agree in the given keys, and differ in their seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.errors import ZooError, nearest
from zoo.ranking.runs import Run

# The key that every run has, and the default key to group by.
BACKBONE = "backbone"
# The option that selects the validation fold. Together with the seed, it distinguishes repetitions.
FOLD = "data.fold"
# Options that do not make a run a different experiment; the options of `output` do not either.
INDIFFERENT = ("name", "train.seed", "train.threads", "train.timeout", "data.root", FOLD)
# Maximum number of keys listed in a note.
SHOWN = 4


@dataclass(frozen=True)
class Group:
    """The runs of one row.

    Attributes:
        name: value of each key, separated by commas; the backbone by its name, others as `optim.lr=0.001`.
        values: value of each key.
        runs: the runs.
    """

    name: str
    values: dict[str, str]
    runs: tuple[Run, ...]

    @property
    def notes(self) -> Iterator[str]:
        """Yield a note if the runs differ in more than the seed, or if several have the same seed."""
        if len(self.runs) < 2:
            return
        recipes = [run.recipe for run in self.runs]
        keys = dict.fromkeys(key for recipe in recipes for key in recipe)
        differ = [key for key in keys if counts(key) and len({repr(recipe.get(key, ...)) for recipe in recipes}) > 1]
        if differ:
            listed = ", ".join(differ[:SHOWN]) + (f" and {len(differ) - SHOWN} more" if len(differ) > SHOWN else "")
            wanted = ",".join([*self.values, *differ[:SHOWN]])
            yield f"{self.name}: its {len(self.runs)} runs differ in {listed}, not only in the seed (split with --group {wanted})"
            return
        repeated = Counter((run.result.seed, run.recipe.get(FOLD, 0)) for run in self.runs)
        if twice := dict.fromkeys(seed for (seed, _), times in repeated.items() if times > 1):
            yield f"{self.name}: several runs have seed {', '.join(map(str, twice))}, and are counted as repetitions"


def without_copies(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Leave out identical copies of a run, which would make the variation between runs look too small.

    Returns:
        The runs without copies (same backbone, seed, fold, options, validation metrics and answers), and a note for each copy.
    """
    first: dict[tuple[Any, ...], Run] = {}
    notes = []
    for run in runs:
        options = tuple(sorted((name, repr(value)) for name, value in run.recipe.items() if counts(name)))
        answers = run.answers.predicted if run.answers else ()
        key = (run.result.backbone, run.result.seed, run.recipe.get(FOLD, 0), tuple(run.result.val.items()), answers, options)
        known = first.setdefault(key, run)
        if known is not run:
            notes.append(f"left out: {run.path}: a copy of {known.path}: the same seed and the same predictions")
    return list(first.values()), notes


def counts(key: str) -> bool:
    """Return whether an option makes a run a different experiment."""
    return key not in INDIFFERENT and not key.startswith("output.")


def group_runs(runs: Sequence[Run], keys: Sequence[str]) -> list[Group]:
    """Group the runs that have the same values of all keys: `backbone`, or any dotted key of a recipe.

    Raises:
        ZooError: no key is given, or no run has one of the keys.
    """
    _check(runs, keys)
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(_value(run, key) for key in keys), []).append(run)
    return [Group(_name(keys, values), dict(zip(keys, values, strict=True)), tuple(some)) for values, some in found.items()]


def _check(runs: Sequence[Run], keys: Sequence[str]) -> None:
    if not keys:
        raise ZooError("--group", "no key given", "e.g. backbone,optim.lr")
    for key in keys:
        if key != BACKBONE and not any(_below(run.recipe, key) for run in runs):
            known = [BACKBONE, *dict.fromkeys(name for run in runs for name in run.recipe)]
            close = nearest(key, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else "a dotted key of the runs' recipe.yaml, e.g. optim.lr"
            raise ZooError("--group", f"no run has the key '{key}'", hint)


def _below(recipe: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the options at a key and below it, by their names relative to the key."""
    return {name[len(key) + 1 :]: value for name, value in recipe.items() if name == key or name.startswith(f"{key}.")}


def _value(run: Run, key: str) -> str:
    """Return the value of a key as text; for a section, the list of its options."""
    if key == BACKBONE:
        return run.result.backbone
    found = _below(run.recipe, key)
    if set(found) <= {""}:
        return shown(found[""]) if found else "-"
    return " ".join(f"{name}={shown(value)}" for name, value in found.items())


def _name(keys: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(value if key == BACKBONE else f"{key}={value}" for key, value in zip(keys, values, strict=True))


def shown(value: Any) -> str:
    """Return an option's value as written in a recipe."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
