"""Starts, kills and compares runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

ROOT = Path(__file__).parents[3]
# What differs between two runs that computed the same.
TIMES = ("images_per_second", "data_share", "seconds", "eval_images_per_second")

RECIPE = """\
name: faults
backbone: {name: test_resnet, weights: random, drop_rate: 0.1, drop_path_rate: 0.1}
data: {kind: synthetic, train_images: 100, test_images: 20, classes: 4}
image_size: {start: 32, end: 48}
augment: {policy: rand_augment, hflip: true, color_jitter: 0.2, erase: 0.2, mixup: 0.2, cutmix: 0.5}
train: {epochs: 3, batch_size: 12, accumulate: 2, precision: fp32, channels_last: true, threads: 1, ema: 0.9, timeout: 20}
optim: {lr: 2.0e-3}
"""
STEPS, EVERY = 24, 3


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """A recipe that writes into the folder's `runs`, with a checkpoint every few steps."""
    path = folder / "faults.yaml"
    path.write_text(text + f"output: {{root: '{folder / 'runs'}', checkpoint_every: {EVERY} steps}}\n")
    return path


@dataclass
class Child:
    """A forked process and the file its console goes to."""

    pid: int
    output: Path

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")


class Server:
    """Forks `zoo` processes; see server.py."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.folder, self.count = folder, 0
        self.codes: dict[int, int] = {}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: str, injections: Iterable[list[Any]] = (), environment: dict[str, str] | None = None) -> Child:
        """Fork a `zoo` with these arguments."""
        self.count += 1
        output = self.folder / f"console-{self.count}.txt"
        output.touch()
        request = {
            "arguments": arguments,
            "environment": environment or {},
            "output": str(output),
            "injections": list(injections),
        }
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        while "started" not in (event := self._event()):
            pass
        return Child(event["started"], output)

    def _event(self) -> dict[str, Any]:
        assert self.process.stdout
        event = json.loads(self.process.stdout.readline())
        if "ended" in event:
            self.codes[event["ended"]] = event["code"]
        return event

    def wait(self, child: Child) -> int:
        """The exit code of a child, when it has ended; negative for a signal."""
        while child.pid not in self.codes:
            self._event()
        return self.codes[child.pid]

    def run(self, *arguments: str, injections: Iterable[list[Any]] = ()) -> tuple[int, str]:
        """Exit code and console of a child that is left alone."""
        child = self.start(*arguments, injections=injections)
        return self.wait(child), child.text

    def several(self, processes: int, *arguments: str, injections: Iterable[list[Any]] = ()) -> list[Child]:
        """Fork the processes of one run that know of each other, as torchrun would start them."""
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
        common |= {"LOCAL_WORLD_SIZE": str(processes), "ACCELERATE_USE_CPU": "true"}
        return [
            self.start(
                *arguments,
                injections=injections,
                environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {},
            )
            for rank in range(processes)
        ]

    def close(self) -> None:
        """End the server."""
        self.process.kill()
        self.process.communicate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kill(children: Iterable[Child], number: int = signal.SIGKILL) -> None:
    """Send a signal to those that are still there."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)


def outcome(run: Path) -> dict[str, Any]:
    """All that two equal runs have in common: every bit of the last checkpoint, the history, the test result."""
    last = sorted((run / "checkpoints").glob("step-*"))[-1]
    found: dict[str, Any] = {"step": last.name}
    for path in sorted(last.glob("*.safetensors")):
        with safe_open(path, "numpy") as file:
            for key in file.keys():  # noqa: SIM118
                found[f"{path.stem} {key}"] = hashlib.sha256(file.get_tensor(key).tobytes()).hexdigest()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found["history"] = [{key: value for key, value in row.items() if key not in TIMES} for row in rows]
    result = json.loads((run / "result.json").read_text())
    return found | {"test": result["test"], "selected": result["selected_epoch"]}


def resumed_step(text: str) -> int | None:
    """The step that a console says a run went on from."""
    lines = [line for line in text.splitlines() if line.startswith("resumed ")]
    return int(lines[0].rpartition("step-")[2]) if lines else None


def wait_until(condition: Any, seconds: float) -> bool:
    """Whether a condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.002)
    return False


def share() -> int:
    """How many cases are tried: all of them with ZOO_FAULTS=all, else a share that fits a CI run."""
    return 1 if os.environ.get("ZOO_FAULTS") == "all" else 8


def some(cases: list[Any]) -> list[Any]:
    """A share of the cases, the same each time."""
    return cases if share() == 1 else random.Random(0).sample(cases, max(1, len(cases) // share()))
