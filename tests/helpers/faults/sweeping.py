"""Starts, kills and compares sweeps."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from helpers.faults.harness import ROOT, TIMES, outcome

RECIPE = """\
backbone: {name: test_resnet, weights: random, drop_rate: 0.1}
data: {kind: digits, max_train: 300, max_test: 100}
image_size: 32
augment: {hflip: true, color_jitter: 0.2, mixup: 0.2}
train: {epochs: 3, batch_size: 32, accumulate: 2, precision: fp32, channels_last: true, threads: 1}
optim: {lr: 2.0e-3}
output: {checkpoint_every: 3 steps}
"""
# What of a result depends on the machine and the moment.
FIGURES = (*TIMES, "peak_memory_mb")
# A variable by which the processes of one sweep are known.
MARK = "ZOO_TEST_SWEEP"


class Sweep:
    """A `zoo sweep`, or another command that starts many runs, in a process of its own, and those that it starts."""

    def __init__(self, folder: Path, *arguments: str, command: str = "sweep") -> None:
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.output = folder / f"console-{self.mark}.txt"
        # Ray may lie beside the packages of the environment.
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, MARK: self.mark}
        with open(self.output, "w") as console:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "zoo", command, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def processes(self) -> list[int]:
        """The ids of all processes of the sweep that are still there."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                state = path.with_name("stat").read_text().rpartition(")")[2].split()[0]
                if f"{MARK}={self.mark}".encode() in path.read_bytes().split(b"\0") and state != "Z":
                    found.append(int(path.parent.name))
        return found

    def workers(self) -> list[int]:
        """The ids of the processes that train: leaders of a session of their own."""
        return [pid for pid in self.processes() if pid != self.process.pid and _session(pid) == pid]

    def kill(self, pid: int | None = None, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or self.process.pid, number)

    def wait(self, seconds: float = 300) -> int:
        return self.process.wait(seconds)


def _session(pid: int) -> int:
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return 0


def outcomes(folder: Path) -> dict[str, Any]:
    """All that two equal sweeps have in common: rows, results, models and predictions, but for speeds."""
    found: dict[str, Any] = {}
    for row in json.loads((folder / "results.json").read_text()):
        assert row["status"] == "ok", row
        run = folder / row["name"]
        result = json.loads((run / "result.json").read_text())
        for figure in FIGURES:
            del result["train"][figure]
        files = [run / "model" / "model.safetensors", run / "model" / "config.json", run / "predictions.csv"]
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
        found[row["name"]] = [result, digests, outcome(run), row["val.accuracy"], row["test.accuracy"], row["epochs"]]
    return found
