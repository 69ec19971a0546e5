"""Real launchers, and every process that comes of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from helpers.faults import harness

LAUNCHERS = {
    "python": [],
    "accelerate": ["accelerate", "launch"],
    "torchrun": ["torchrun", "--nproc_per_node", "2"],
}


@dataclass
class Launched:
    """A launcher, the file its console goes to, and a mark in the environment of all processes below it."""

    process: subprocess.Popen[bytes]
    output: Path
    mark: str
    started: float = field(default_factory=time.monotonic)

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def alive(self) -> dict[int, str]:
        """The processes that are left, and their commands."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                running = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if running and self.mark.encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def workers(self) -> list[int]:
        """The training processes, oldest first."""
        return sorted(pid for pid, command in self.alive().items() if "scripts/train.py" in command and pid != self.process.pid)

    def end(self, seconds: float) -> float:
        """Wait until no process is left; the seconds that took.

        Raises:
            AssertionError: some are left.
        """
        began = time.monotonic()
        gone = harness.wait_until(lambda: self.process.poll() is not None and not self.alive(), seconds)
        left = self.alive()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert gone, f"{left}\n{self.text}"
        return time.monotonic() - began


def launch(launcher: str, folder: Path, *arguments: str) -> Launched:
    """Start training under a launcher, in a session of its own."""
    words = LAUNCHERS[launcher] or [sys.executable]
    program = [words[0] if not LAUNCHERS[launcher] else str(Path(sys.executable).with_name(words[0])), *words[1:]]
    mark = f"mark-{uuid.uuid4()}"
    output = folder / f"{mark}.txt"
    with open(output, "wb") as handle:
        process = subprocess.Popen(
            [*program, "scripts/train.py", *arguments],
            cwd=harness.ROOT,
            env={**os.environ, "ZOO_TEST_MARK": mark, "ACCELERATE_USE_CPU": "true"},
            stdout=handle,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Launched(process, output, mark)


def interrupt(launched: Launched, number: int) -> None:
    """Ctrl-C reaches every process of a terminal, SIGTERM the launcher alone."""
    if number == signal.SIGINT:
        os.killpg(launched.process.pid, number)
    else:
        launched.process.send_signal(number)


Trigger = Callable[[Launched, Path], bool]
