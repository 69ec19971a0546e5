"""The folder of a sweep: find it, and compare its settings with those of the current command.

DIR/sweep.json      the settings, the runs, the time used
DIR/results.csv     a row for each run that has ended; results.json has the same content
DIR/logs/RUN.log    the console output of each run
DIR/RUN/            the run folder of each run
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.recipe.differences import flatten
from zoo.results.folder import RunFolder
from zoo.results.measured import ROOT, check_writable
from zoo.sweep.grid import Grid, Run
from zoo.system.files import expanded

# The file in a sweep's folder with its settings and state.
STATE = "sweep.json"
# The subfolder for the console output of the runs.
LOGS = "logs"
# Name of the folder that is made without `--out`.
NAME = "sweep"
# Files that a killed process may leave in a new folder; a folder with nothing else in it counts as empty.
LEFT = {".lock"}


def settings_of(grid: Grid, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the settings that identify a sweep, as plain values; sweeps of the same runs have equal settings.

    The recipe is the first run's, without the options that differ between runs or have no effect on them.
    """
    recipe = next((run.recipe.model_dump(mode="json") for run in runs if run.recipe is not None), {})
    flat = flatten(recipe)
    varied = ("name", "output.root", "backbone.name", "train.seed", *grid.values)
    kept = {key: value for key, value in flat.items() if not any(key == name or key.startswith(f"{name}.") for name in varied)}
    return {
        "backbones": list(grid.backbones),
        "seeds": sorted({run.seed for run in runs}),
        "set": {key: list(values) for key, values in grid.values.items()},
        "recipe": kept,
    }


def find(out: Path | None, settings: Mapping[str, Any], runs: Sequence[Run]) -> Path:
    """Return the folder to write to, and create it if needed.

    Args:
        out: the requested folder; None reuses a folder in `runs` with the same settings, or makes a new one.
        settings: settings of this sweep.
        runs: runs of this sweep.

    Raises:
        ZooError: the folder cannot be written, or holds another sweep or other files named like a run.
    """
    check_writable(out or ROOT)
    if out is None:
        return same(settings, ROOT, NAME) or RunFolder.create(ROOT, NAME).path
    folder = expanded(out)
    known = read_state(folder)
    if different := differences(known["settings"], settings) if known else []:
        listed = ", ".join(different[:3]) + (f" and {len(different) - 3} more" if len(different) > 3 else "")
        raise ZooError("--out", f"{folder} holds a sweep with other settings: {listed}", "choose another folder")
    taken = next((run.name for run in runs if not known and (folder / run.name).exists()), None)
    if taken:
        raise ZooError("--out", f"{folder} is not the folder of a sweep, but already has {taken}", "choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError("--out", f"cannot be written: {folder}: {error.strerror}", "choose another folder") from None
    # The folder may have existed before without being writable.
    check_writable(folder)
    return folder


def same(settings: Mapping[str, Any], root: Path, name: str) -> Path | None:
    """Return the folder of a sweep with the same settings, else an empty sweep folder, else None.

    Args:
        settings: settings of this sweep.
        root: the folder to search in.
        name: name of the folder, possibly followed by a number; folders with other names are the user's own.
    """
    made_so = re.compile(rf"{re.escape(name)}(?:-(\d+))?")
    own = [(int(match[1] or 1), path) for path in root.glob(f"{glob.escape(name)}*") if (match := made_so.fullmatch(path.name))]
    made = [path for _, path in sorted(own) if path.is_dir()]
    for path in made:
        # A sweep whose file is damaged cannot continue.
        with contextlib.suppress(ZooError):
            known = read_state(path)
            if known and not differences(known["settings"], settings):
                return path
    for path in made:
        if set(os.listdir(path)) <= LEFT:
            # A sweep that has just begun holds its folder.
            with contextlib.suppress(ZooError), RunFolder(path).held("--out"):
                return path
    return None


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state stored in a sweep's folder; empty if there is no sweep in it.

    Raises:
        ZooError: the state file is damaged.
    """
    if not (folder / STATE).is_file():
        return {}
    state = RunFolder(folder).read_json(STATE)
    if not isinstance(state, dict) or not isinstance(state.get("settings"), dict):
        raise ZooError("--out", f"{folder / STATE} is not the state of a sweep", "choose another folder")
    return state


def differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences between a folder's settings and the current ones, as `seeds 0, 1 -> 0, 1, 2`.

    Options that are missing in the folder's recipe were added by a later version and are ignored.
    """
    found = [
        f"{part} {_text(known.get(part))} -> {_text(now[part])}"
        for part in ("backbones", "seeds")
        if known.get(part) != now[part]
    ]
    sets, sets_now = known.get("set", {}), now["set"]
    found += [
        f"--set {key} {_text(sets.get(key))} -> {_text(sets_now.get(key))}"
        for key in {**sets, **sets_now}
        if sets.get(key) != sets_now.get(key)
    ]
    varied = {*sets, *sets_now}
    return found + [
        f"{key} {value} -> {now['recipe'].get(key)}"
        for key, value in known.get("recipe", {}).items()
        if value != now["recipe"].get(key) and key not in varied
    ]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "-" if value is None else str(value)
