"""Create, write, read and find run folders. Nothing here imports torch, so reports and leaderboards work without it."""

from __future__ import annotations

import contextlib
import glob
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import ZooError
from zoo.system.files import existing, expanded, storing, write_file
from zoo.system.locks import held

# Upper bound for the number that is appended to a folder's name.
MOST_RUNS = 10_000


# The file with the result; a run that has it is finished.
RESULT = "result.json"


@dataclass(frozen=True)
class RunFolder:
    """A run folder: recipe.yaml, environment.json, metrics.jsonl, result.json, checkpoints/, model/, pictures."""

    path: Path

    @classmethod
    def create(cls, root: Path, name: str) -> RunFolder:
        """Create a folder of that name, or `NAME-2`, `NAME-3`, … if it is taken.

        Raises:
            ZooError: the root cannot be written, or has too many folders of that name.
        """
        root = expanded(root)
        for number in range(1, MOST_RUNS):
            path = root / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir(parents=True, exist_ok=False)
            except FileExistsError:
                if root.is_dir():
                    continue
                raise ZooError("output.root", f"not a directory: {root}", "choose another") from None
            except OSError as error:
                raise ZooError("output.root", f"not writable: {root}: {error.strerror}", "choose another") from None
            return cls(path)
        raise ZooError("output.root", f"{root} holds too many runs named {name}", "choose another name")

    @staticmethod
    def check(root: Path, where: str = "output.root") -> None:
        """Check that a run folder could be created; `where` is the key or flag that the error names.

        Raises:
            ZooError: the root cannot be written.
        """
        there = existing(root)
        if not there.is_dir():
            raise ZooError(where, f"not a directory: {there}", "choose another")
        try:
            # Permission bits are not enough: /proc allows writing by its bits, but no file can be created there.
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            raise ZooError(where, f"not writable: {there}: {error.strerror}", "choose another") from None

    @contextlib.contextmanager
    def held(self, where: str = "--resume") -> Iterator[None]:
        """Lock the folder against other processes; `where` is the flag that the error names.

        Raises:
            ZooError: another process is using the folder, or it cannot be written.
        """
        with held(self.path / ".lock", where):
            yield

    def write(self, name: str, text: str) -> None:
        """Write a file atomically: at any moment it has the old content or the new content.

        Raises:
            StorageError: the file cannot be written.
        """
        path = self.path / name
        with storing(path, len(text)):
            write_file(path, text)

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON."""
        self.write(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run.

        Raises:
            ZooError: the file is missing or damaged.
        """
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ZooError(str(path), "no such file", "give the folder of a run") from None
        except (OSError, ValueError) as error:
            raise ZooError(str(path), f"cannot be read: {error}", "the run is damaged") from None

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write `metrics.jsonl`, a line for each epoch; all of it each time, so that no line is partial or repeated."""
        self.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))


def newest_unfinished(root: Path, name: str) -> Path | None:
    """Return the newest folder of a run of this name with a checkpoint and no result, or None."""
    pattern = re.compile(re.escape(name) + r"(-\d+)?")
    runs = [path for path in expanded(root).glob(f"{glob.escape(name)}*") if pattern.fullmatch(path.name)]
    open_runs = [
        path
        for path in runs
        # `net-50` may be a run named so, or the fiftieth run of `net`. A damaged run counts: resuming it reports the damage.
        if checkpoint_steps(path) and not (path / RESULT).exists() and recipe_name(path) in (name, None)
    ]
    return max(open_runs, key=lambda path: path.stat().st_mtime, default=None)


def checkpoint_steps(run: Path) -> list[int]:
    """Return the steps for which a run has a checkpoint, ascending."""
    return sorted(int(path.name[5:]) for path in run.glob("checkpoints/step-*") if path.name[5:].isdigit())


def threads_of_run(run: Path) -> int | str:
    """Return the number of threads that a run used, or `auto` if it is unknown."""
    try:
        threads = json.loads((run / "environment.json").read_text(encoding="utf-8")).get("threads")
    except (OSError, ValueError, AttributeError):
        return "auto"
    return threads if isinstance(threads, int) else "auto"


def recipe_name(run: Path) -> str | None:
    """Return the name in a run's recipe, or None if the recipe is missing, is damaged or has no name."""
    try:
        # This loader reads every scalar as text; other loaders read a name such as 2026-01-02 as a date.
        recipe = yaml.load((run / "recipe.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return recipe.get("name") if isinstance(recipe, dict) else None
