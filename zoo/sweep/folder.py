"""The folder of a sweep: chosen, compared with what is asked for now, and what it keeps besides the runs.

DIR/sweep.json      the settings, the runs, the time used
DIR/results.csv     a row for each run that has ended; results.json holds the same
DIR/logs/RUN.log    the console of each run
DIR/RUN/            its run folder
"""

from __future__ import annotations

import contextlib
import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.recipe.differences import flatten
from zoo.results.folder import RunFolder
from zoo.results.measured import ROOT, check_writable
from zoo.sweep.grid import Grid, Run

# The file in a sweep's folder that says what it is.
STATE = "sweep.json"
# The folder in it for the consoles of the runs.
LOGS = "logs"
# The name of a folder that is made if `--out` names none.
NAME = "sweep"
# What a folder may hold that was made and then left by a process which was killed.
LEFT = {".lock"}


def settings_of(grid: Grid, runs: Sequence[Run]) -> dict[str, Any]:
    """Return what two sweeps of the same runs have in common, as plain values.

    The recipe is that of the first run, without what differs between runs and what has no effect on them.
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
    """Return the folder to write to; it exists.

    Args:
        out: the folder that was asked for; None takes one of the same settings in `runs`, or makes a new one.
        settings: of this sweep.
        runs: of this sweep.

    Raises:
        ZooError: it cannot be written, or holds something else.
    """
    check_writable(out or ROOT)
    if out is None:
        return same(settings, ROOT, NAME) or RunFolder.create(ROOT, NAME).path
    folder = out.expanduser()
    known = read_state(folder)
    if different := differences(known["settings"], settings) if known else []:
        listed = ", ".join(different[:3]) + (f" and {len(different) - 3} more" if len(different) > 3 else "")
        raise ZooError("--out", f"{folder} holds a sweep of other settings: {listed}", "choose another folder")
    taken = next((run.name for run in runs if not known and (folder / run.name).exists()), None)
    if taken:
        raise ZooError("--out", f"{folder} is not of a sweep, and holds {taken} already", "choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError("--out", f"cannot be written: {folder}: {error.strerror}", "choose another folder") from None
    # The folder may have been there, and not be writable.
    check_writable(folder)
    return folder


def same(settings: Mapping[str, Any], root: Path, name: str) -> Path | None:
    """Return the folder of a sweep of the same settings, else one that nothing was written to; None where there is none.

    Args:
        settings: of this sweep.
        root: where to look.
        name: of the folder, or with a number after it; others are the user's own.
    """
    made_so = re.compile(rf"{re.escape(name)}(?:-(\d+))?")
    own = [(int(match[1] or 1), path) for path in root.glob(f"{glob.escape(name)}*") if (match := made_so.fullmatch(path.name))]
    made = [path for _, path in sorted(own) if path.is_dir()]
    for path in made:
        # A damaged file is of a sweep that cannot continue.
        with contextlib.suppress(ZooError):
            known = read_state(path)
            if known and not differences(known["settings"], settings):
                return path
    return next((path for path in made if {entry.name for entry in path.iterdir()} <= LEFT), None)


def read_state(folder: Path) -> dict[str, Any]:
    """Return what a sweep's folder says of itself; empty where there is no sweep in it.

    Raises:
        ZooError: the file is damaged.
    """
    if not (folder / STATE).is_file():
        return {}
    state = RunFolder(folder).read_json(STATE)
    if not isinstance(state, dict) or not isinstance(state.get("settings"), dict):
        raise ZooError("--out", f"{folder / STATE} is not of a sweep", "choose another folder")
    return state


def differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between the settings of a folder and those of now, as `seeds 0, 1 -> 0, 1, 2`.

    Options that the folder does not know are those of a later version, at their defaults.
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
