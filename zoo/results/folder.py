"""The run folder. No torch in here: reports and leaderboards read run folders without it."""

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

from zoo.errors import ZooError
from zoo.system.files import existing, storing, write_file
from zoo.system.locks import held


@dataclass(frozen=True)
class RunFolder:
    """A run folder."""

    path: Path

    @classmethod
    def create(cls, root: Path, name: str) -> RunFolder:
        """Make a folder of that name, or `NAME-2`, `NAME-3`, … where it is taken.

        Raises:
            ZooError: the root cannot be written.
        """
        root = root.expanduser()
        for number in range(1, 10_000):
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
    def check(root: Path) -> None:
        """See that a run folder could be made, without making one.

        Raises:
            ZooError: the root cannot be written.
        """
        there = existing(root)
        if not there.is_dir():
            raise ZooError("output.root", f"not a directory: {there}", "choose another")
        try:
            # Asking for permission is not enough: /proc says yes, and lets nothing be made.
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            raise ZooError("output.root", f"not writable: {there}: {error.strerror}", "choose another") from None

    @contextlib.contextmanager
    def held(self, where: str = "--resume") -> Iterator[None]:
        """Keep other processes from working in this folder; `where` is the option that an error names.

        Raises:
            ZooError: another one does, or the folder cannot be written.
        """
        with held(self.path / ".lock", where):
            yield

    def write(self, name: str, text: str) -> None:
        """Write a file whole: it has the old content or the new one, at any moment.

        Raises:
            StorageError: it cannot be written.
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
            ZooError: it is missing or damaged.
        """
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ZooError(str(path), "no such file", "give the folder of a run") from None
        except (OSError, ValueError) as error:
            raise ZooError(str(path), f"cannot be read: {error}", "the run is damaged") from None

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write `metrics.jsonl`: a line for each epoch, the whole file each time, so that none is twice or half in it."""
        self.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))


def newest_unfinished(root: Path, name: str) -> Path | None:
    """The newest run folder of a name that has a checkpoint and no result; None where there is none."""
    pattern = re.compile(re.escape(name) + r"(-\d+)?")
    runs = [path for path in root.expanduser().glob(f"{glob.escape(name)}*") if pattern.fullmatch(path.name)]
    open_runs = [
        path
        for path in runs
        if any(path.glob("checkpoints/step-*")) and not (path / "result.json").exists() and _is_named(path, name)
    ]
    return max(open_runs, key=lambda path: path.stat().st_mtime, default=None)


def _is_named(run: Path, name: str) -> bool:
    """Whether a run's recipe has a name: `net-50` may be a run of that name, or the fiftieth of `net`."""
    try:
        first = re.search(r"^name: (.*)$", (run / "recipe.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return True  # the run is damaged, and that is said when it is gone on with
    return first is None or first[1].strip("'\"") == name
