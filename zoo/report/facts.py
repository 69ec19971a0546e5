"""Read all information in a run folder, whether the run is finished, in progress or dead. Damaged files are reported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe
from zoo.recipe.upgrade import upgraded
from zoo.report.scored import Scored, read_scored
from zoo.results.folder import RESULT, RunFolder, checkpoint_steps
from zoo.results.result import Result, read_result
from zoo.system import locks


@dataclass(frozen=True)
class Facts:
    """The content of a run folder.

    Attributes:
        run: the folder, as the user wrote it.
        recipe: the recipe; None if it cannot be read.
        result: the result; None if the run is not finished or its result is damaged.
        going: whether another process is using the folder.
        history: rows of `metrics.jsonl`.
        environment: the machine and its software; empty if unknown.
        checkpoints: steps that have a checkpoint.
        classes: class names in the order of the labels; empty if unknown.
        scored: predictions of the selected weights, by split; empty before the run is finished.
        problems: a sentence for each file that is missing or damaged.
    """

    run: Path
    recipe: Recipe | None
    result: Result | None
    going: bool
    history: Sequence[Mapping[str, Any]]
    environment: Mapping[str, Any]
    checkpoints: Sequence[int]
    classes: Sequence[str]
    scored: Mapping[str, Scored]
    problems: Sequence[str]

    @property
    def name(self) -> str:
        """The name of the run folder, which differs between runs of one recipe."""
        return self.run.resolve().name

    @property
    def judged(self) -> Scored | None:
        """The predictions that the page analyzes: test if available, else val, else None."""
        return self.scored.get("test") or self.scored.get("val")


def read_facts(run: Path) -> Facts:
    """Read a run folder.

    Raises:
        ZooError: the folder contains no run.
    """
    if not any((run / name).is_file() for name in ("recipe.yaml", RESULT, "metrics.jsonl")):
        raise ZooError(str(run), "no run in it", "give the folder of a run, such as runs/my-photos")
    problems: list[str] = []
    recipe = _recipe(run, problems)
    result = _result(run, problems)
    environment = _environment(run, problems)
    classes = result.classes if result else _classes(run)
    # Without a result, predictions are left over from an earlier end of the run.
    scored = _scored(run, classes, problems) if (run / RESULT).exists() else {}
    return Facts(
        run=run,
        recipe=recipe,
        result=result,
        going=_going(run),
        history=_history(run, problems),
        environment=environment,
        checkpoints=checkpoint_steps(run),
        classes=classes,
        scored=scored,
        problems=problems,
    )


def _recipe(run: Path, problems: list[str]) -> Recipe | None:
    try:
        return upgraded(load_recipe(run / "recipe.yaml"), run)
    except ZooError as error:
        problems.append(f"The recipe cannot be read: {error.lines[0]}.")
        return None


def _result(run: Path, problems: list[str]) -> Result | None:
    try:
        return read_result(RunFolder(run))
    except ZooError as error:
        problems.append(f"{RESULT} is damaged: {error.what}.")
        return None


def _environment(run: Path, problems: list[str]) -> Mapping[str, Any]:
    """Return the content of `environment.json`; empty if it cannot be read."""
    try:
        values = RunFolder(run).read_json("environment.json")
    except ZooError as error:
        problems.append(f"environment.json: {error.what}.")
        return {}
    return values if isinstance(values, dict) else {}


def _classes(run: Path) -> Sequence[str]:
    """Return the class names stored in the run's model folder; empty if there are none."""
    try:
        names = json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))["label_names"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _scored(run: Path, classes: Sequence[str], problems: list[str]) -> Mapping[str, Scored]:
    try:
        return read_scored(run, classes)
    except ZooError as error:
        problems.append(f"{Path(error.where).name} {error.what}.")
        return {}


def _history(run: Path, problems: list[str]) -> Sequence[Mapping[str, Any]]:
    """Return the rows of the epochs; unreadable lines are skipped and reported."""
    try:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"metrics.jsonl cannot be read: {error}.")
        return []
    rows = [_row(line) for line in lines]
    if None in rows:
        problems.append(f"{rows.count(None)} of {len(rows)} lines of metrics.jsonl cannot be read.")
    return [row for row in rows if row is not None]


def _row(line: str) -> Mapping[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("epoch"), int) else None


def _going(run: Path) -> bool:
    """Return whether a process is using the folder. A killed process leaves the lock file behind, but not the lock."""
    try:
        with locks.unused(run / ".lock") as unused:
            return not unused
    except OSError:
        return False
