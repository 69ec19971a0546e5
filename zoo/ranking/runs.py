"""Find finished runs in folders, and read their recipes and the machines they were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.ranking.answers import Answers, in_order_of, other_test, read_answers
from zoo.recipe.differences import flatten
from zoo.recipe.yaml import parse
from zoo.results.folder import RESULT, RunFolder
from zoo.results.result import Result, read_result
from zoo.system.progress import show_current

# The file with a run's recipe; a folder that has it is a run.
RECIPE = "recipe.yaml"
# Levels of subfolders that are searched for runs.
DEPTH = 3


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: run folder, as the user wrote it.
        result: content of `result.json`.
        recipe: options by their dotted names.
        answers: answers for the test images; None if there is no test set.
    """

    path: Path
    result: Result
    recipe: dict[str, Any]
    answers: Answers | None

    @cached_property
    def machine(self) -> str:
        """Describe the machine: the device, the number of cores and the number of processes, as far as they are known."""
        try:
            environment = RunFolder(self.path).read_json("environment.json")
        except ZooError:
            environment = {}
        known: dict[str, Any] = environment if isinstance(environment, dict) else {}
        cores = f", {known['cores']} cores" if "cores" in known else ""
        # Earlier versions recorded every processor as "cpu".
        device = known.get("cpu", "cpu") if self.result.device == "cpu" else self.result.device
        host = f" in {known['cpu']}" if known.get("cpu", device) != device else ""
        processes = f", {self.result.processes} processes" if self.result.processes > 1 else ""
        return f"{device}{host}{cores}{processes}"


@dataclass(frozen=True)
class Found:
    """The runs found in folders.

    Attributes:
        runs: finished runs, in the order in which they were found.
        notes: a line for each run that was left out, with the reason.
    """

    runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_runs(paths: Sequence[Path]) -> Found:
    """Read the finished runs in folders; each folder is a run, or contains runs up to `DEPTH` levels below.

    Raises:
        ZooError: a folder is missing, or none of them has a finished run.
    """
    found = Found()
    folders: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise ZooError(str(path), "is not a folder" if path.exists() else "no such folder", "give runs, or folders of runs")
        for folder in _runs_below(path, DEPTH, found.notes):
            folders.setdefault(folder.resolve(), folder)
    for number, folder in enumerate(folders.values(), start=1):
        show_current(f"reading runs: {number:,}/{len(folders):,}")
        try:
            found.runs.append(read_run(folder))
        except ZooError as error:
            found.notes.append(f"left out: {error.where}: {error.what}")
    show_current("")
    if not found.runs:
        where = ", ".join(map(str, paths))
        if folders:
            raise ZooError(where, f"none of {len(folders):,} runs can be ranked", found.notes[0].removeprefix("left out: "))
        raise ZooError(where, "holds no run", "give run folders, or a folder that holds some")
    return found


def read_run(path: Path) -> Run:
    """Read a finished run.

    Raises:
        ZooError: the folder is not a run, or the run is not finished or is damaged.
    """
    if not _is_run(path):
        raise ZooError(str(path), "is not a run" if path.is_dir() else "no such folder", "give the folder of a run")
    result = read_result(RunFolder(path))
    if result is None:
        raise ZooError(str(path), "the run is not finished", f"zoo train --resume {path}")
    test = result.test
    return Run(path, result, _read_recipe(path / RECIPE), read_answers(path, result.classes, test.n) if test else None)


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        values = parse(path.read_text(encoding="utf-8"), str(path), {})
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ZooError(str(path), f"cannot be read: {reason}", "the run is damaged") from None
    if not isinstance(values, dict):
        raise ZooError(str(path), "is not a recipe", "the run is damaged")
    return flatten(values)


def check_same_test(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with their answers in a common order of the test images; runs without a test set are unchanged.

    Raises:
        ZooError: two runs have different test images; the error names both.
    """
    tested = [run for run in runs if run.answers]
    # Compare with a run that has image names, if there is one, so that all runs with names are compared by name.
    first = next((run for run in tested if run.answers and run.answers.files), tested[0] if tested else None)
    same = []
    for run in runs:
        if run.answers is None or first is None or first.answers is None:
            same.append(run)
            continue
        if differs := other_test(first.answers, run.answers):
            what = f"has other test images than {first.path}: {differs}"
            raise ZooError(str(run.path), what, "rank runs of one test set at a time")
        same.append(replace(run, answers=in_order_of(first.answers, run.answers)))
    return same


def _is_run(path: Path) -> bool:
    return (path / RECIPE).is_file() or (path / RESULT).is_file()


def _runs_below(path: Path, depth: int, notes: list[str]) -> Iterator[Path]:
    """Yield the run folders in and below a folder, in the order of their names.

    Hidden folders are skipped. So are links, which may form a circle, unless they lead to a run.
    """
    if _is_run(path):
        yield path
        return
    if not depth:
        return
    try:
        inner = sorted(one for one in path.iterdir() if not one.name.startswith(".") and one.is_dir())
    except OSError as error:
        notes.append(f"left out: {path}: cannot be read: {error.strerror}")
        return
    for one in inner:
        if _is_run(one) or not one.is_symlink():
            yield from _runs_below(one, depth - 1, notes)
