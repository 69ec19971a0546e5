"""Sweeps without training: the folders of the runs are written as training would write them, and a simulated clock is moved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from zoo.results.folder import RunFolder
from zoo.results.result import VERSION, Result, TestScores, TrainingFigures, write_result
from zoo.sweep import start, sweep
from zoo.sweep.grid import Grid, Run
from zoo.sweep.pool import Ended
from zoo.sweep.start import How
from zoo.system.workers import Outcome

RECIPE = """\
backbone: {name: test_resnet, weights: random}
data: {kind: synthetic, train_images: 160, test_images: 30, classes: 4}
image_size: 32
train: {epochs: 9, batch_size: 8, precision: fp32, channels_last: false, threads: 1}
"""


@dataclass
class Clock:
    """A stand-in for the module `time`."""

    now: float = 1e9

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@dataclass
class StandIn:
    """A stand-in for a pool. A run takes `starting` seconds to start and again to finish, and `epoch` seconds for each epoch.

    Attributes:
        accuracy: the accuracy of a run after an epoch, which is counted from 1.
        outcomes: the outcomes of the runs that fail, by the names of the runs.
        started: the names of the runs that were started, each with the epoch after which it pauses, or None.
    """

    clock: Clock
    jobs: int = 1
    starting: float = 2.0
    epoch: float = 10.0
    accuracy: Callable[[Run, int], float] = lambda run, epoch: min(1.0, epoch / 20 + run.seed / 100)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    started: list[tuple[str, int | None]] = field(default_factory=list)
    at_work: dict[str, tuple[Run, float, int, int]] = field(default_factory=dict)
    closed: bool = False

    @property
    def running(self) -> list[Run]:
        return [run for run, *_ in self.at_work.values()]

    def start(self, run: Run, until_epoch: int | None) -> None:
        folder = run.trainable.output.root / run.name
        folder.mkdir(exist_ok=True)
        done = epochs(folder)
        if not done:
            (folder / "environment.json").write_text("{}")
            os.utime(folder / "environment.json", (self.clock.now + self.starting,) * 2)
        (folder / "checkpoints").mkdir(exist_ok=True)
        self.started.append((run.name, until_epoch))
        self.at_work[run.name] = (run, self.clock.now, done, until_epoch or run.trainable.train.epochs)

    def seconds(self, run: Run, done: int, until: int) -> float:
        return self.starting * (1 + (until == run.trainable.train.epochs)) + self.epoch * (until - done)

    def wait(self, seconds: float) -> list[Ended]:
        self.clock.now += seconds
        ended = []
        for run, started, done, until in list(self.at_work.values()):
            taken = self.clock.now - started
            if taken >= self.seconds(run, done, until):
                ended.append(self.end(run, until, self.outcomes.get(run.name, Outcome("ok")), "", taken))
        return ended

    def end(self, run: Run, until: int, outcome: Outcome, stopped: str, taken: float) -> Ended:
        del self.at_work[run.name]
        if outcome.status == "ok":
            leave(run, until, self.epoch, self.accuracy)
        return Ended(run, outcome, stopped, taken)

    def ask_to_stop(self) -> None:
        for name, (run, started, done, until) in self.at_work.items():
            reached = done + int(max(0.0, self.clock.now - started - self.starting) // self.epoch)
            leave(run, min(reached, until - 1), self.epoch, self.accuracy)
            self.at_work[name] = (run, -1e12, done, until)

        def wait(seconds: float) -> list[Ended]:
            gone = [Ended(run, Outcome("ok"), "stopped by SIGTERM", 1.0) for run in self.running]
            self.at_work.clear()
            return gone

        self.wait = wait

    def close(self) -> None:
        self.closed = True


def epochs(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def leave(run: Run, until: int, seconds: float, accuracy: Callable[[Run, int], float]) -> None:
    """Write what a run has written after some epochs: its rows, and after the last epoch its result."""
    folder = RunFolder(run.trainable.output.root / run.name)
    folder.path.mkdir(exist_ok=True)
    history = [
        {"epoch": epoch, "step": epoch, "seconds": seconds, "images_per_second": 100.0, "val.accuracy": accuracy(run, epoch)}
        for epoch in range(1, until + 1)
    ]
    if history:
        folder.write_history(history)
    if until == run.trainable.train.epochs:
        write_result(folder, result(run, history[-1]["val.accuracy"], seconds * until))


def result(run: Run, accuracy: float, seconds: float) -> Result:
    train = TrainingFigures(loss=1, accuracy=1, images_per_second=100, data_share=0, seconds=seconds, peak_memory_mb=500)
    test = TestScores(accuracy=accuracy, loss=1, top5=1, macro_f1=1, ece=0, n=30, ci95=(accuracy / 2, accuracy), per_class={})
    recipe = run.trainable
    return Result(
        version=VERSION, status="done", name=run.name, backbone=run.backbone, weights="random", weights_source="random",
        num_classes=4, classes=("a", "b", "c", "d"), params=1, image_size=32, epochs=recipe.train.epochs, steps=9,
        selected_by="val.accuracy", selected_epoch=1, val={"accuracy": accuracy}, test=test, train=train, precision="fp32",
        channels_last=False, compile=False, batch_size=8, processes=1, seed=run.seed, versions={}, device="CPU",
    )  # fmt: skip


@dataclass
class Place:
    """A folder with a recipe, in which sweeps of made-up runs are started."""

    path: Path
    monkeypatch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        (self.path / "tiny.yaml").write_text(RECIPE)
        self.monkeypatch.chdir(self.path)
        self.clock = Clock()
        for module in (start, sweep):
            self.monkeypatch.setattr(module, "time", self.clock)
        self.monkeypatch.setattr(sweep, "POLL_SECONDS", 1.0)

    def pool(self, **options: object) -> StandIn:
        """Set the pool of all sweeps that start from now on; return it."""
        pool = StandIn(self.clock, **options)  # type: ignore[arg-type]
        self.monkeypatch.setattr(start, "make_pool", lambda how, runs: pool)
        return pool

    def grid(self, *backbones: str, **options: object) -> Grid:
        options = {"seeds": [0, 1], **options}
        return Grid(Path("tiny.yaml"), backbones or ("test_resnet",), **options)  # type: ignore[arg-type]

    def sweep(self, grid: Grid, out: Path | None = Path("out"), **how: object) -> int:
        return start.run_sweep(grid, out, How(**how))  # type: ignore[arg-type]

    def rows(self, folder: str = "out") -> dict[str, dict[str, object]]:
        return {row["name"]: row for row in json.loads((self.path / folder / "results.json").read_text())}
