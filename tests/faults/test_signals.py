"""SIGTERM and SIGINT at any moment, under any launcher, end all processes within 30 s, with a checkpoint if training had begun.

Without a launcher the exit code is 75, with one it is not 0.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.faults import harness, launching
from helpers.faults.launching import Launched, Trigger, interrupt, launch

from zoo.training import checkpoint

pytestmark = pytest.mark.slow

# Long enough to be interrupted at any moment; about a third of the time is evaluation.
RECIPE = (
    harness.RECIPE.replace("train_images: 100, test_images: 20", "train_images: 200, test_images: 400, val_fraction: 0.5")
    .replace("epochs: 3", "epochs: 40")
    .replace("timeout: 20", "timeout: 60")
)


def said(text: str) -> Trigger:
    return lambda launched, _: text in launched.text


def after(text: str, seconds: float) -> Trigger:
    def true(launched: Launched, folder: Path) -> bool:
        if not said(text)(launched, folder):
            return False
        time.sleep(seconds)
        return True

    return true


def saving(launched: Launched, folder: Path) -> bool:
    return any((folder / "runs" / "faults" / "checkpoints").glob(".step-*"))


def row(count: int) -> Trigger:
    def true(launched: Launched, folder: Path) -> bool:
        file = folder / "runs" / "faults" / "metrics.jsonl"
        return file.exists() and len(file.read_text().splitlines()) >= count

    return true


MOMENTS: dict[str, tuple[int, Trigger]] = {
    "while importing": (signal.SIGTERM, lambda launched, _: time.monotonic() - launched.started > 3),
    "while importing, Ctrl-C": (signal.SIGINT, lambda launched, _: time.monotonic() - launched.started > 3),
    "before the first step": (signal.SIGTERM, said("backbone ")),
    "at the first step": (signal.SIGTERM, said("run   ")),
    "early": (signal.SIGTERM, after("run   ", 0.2)),
    "Ctrl-C": (signal.SIGINT, after("run   ", 0.5)),
    "later": (signal.SIGTERM, after("run   ", 1.1)),
    "in a save": (signal.SIGTERM, saving),
    "in a save, Ctrl-C": (signal.SIGINT, saving),
    "at the end of an epoch": (signal.SIGTERM, row(1)),
    "at the end of an epoch, Ctrl-C": (signal.SIGINT, row(2)),
    "late": (signal.SIGTERM, row(5)),
}
CASES = [(launcher, moment) for moment in MOMENTS for launcher in launching.LAUNCHERS]


@pytest.mark.parametrize(("launcher", "moment"), harness.some(CASES) if harness.share() > 1 else CASES)
def test_a_signal_saves_and_ends_everything(tmp_path: Path, launcher: str, moment: str) -> None:
    number, trigger = MOMENTS[moment]
    recipe = harness.write_recipe(tmp_path, RECIPE)
    launched = launch(launcher, tmp_path, str(recipe))
    assert harness.wait_until(lambda: trigger(launched, tmp_path) or launched.process.poll() is not None, 120)
    assert launched.process.poll() is None, launched.text
    interrupt(launched, number)
    launched.end(30)
    if launcher == "python" and not moment.startswith("while importing"):
        assert launched.process.returncode == 75, launched.text
    assert launched.process.returncode != 0
    run = tmp_path / "runs" / "faults"
    name = signal.Signals(number).name
    if "stopped by" in launched.text and "after step" in launched.text:
        assert launched.text.count("stopped by") == 1, launched.text
        assert f"stopped by {name} after step" in launched.text
        said_step = int(launched.text.partition("after step ")[2].partition(",")[0])
        assert checkpoint.newest(run / "checkpoints")[1].state["step"] == said_step
    else:
        assert moment.startswith(("while", "before", "at the first")), launched.text
        assert not list(run.glob("checkpoints/step-*"))


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    launched = launch("python", tmp_path, str(harness.write_recipe(tmp_path, RECIPE)), "train.batch_size=100", "image_size=512")
    assert harness.wait_until(lambda: "run   " in launched.text, 120), launched.text
    time.sleep(1)
    launched.process.send_signal(signal.SIGINT)
    time.sleep(1.3)
    if launched.process.poll() is None:
        launched.process.send_signal(signal.SIGINT)
        assert launched.end(2) < 2
        assert launched.process.returncode == 130


def test_stopped_while_images_are_decoded_nothing_is_left(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"train/a": 1, "train/b": 1}, size=(600, 600))
    for name in "ab":
        for number in range(1, 700):
            os.link(root / f"train/{name}/000.png", root / f"train/{name}/{number:03}.png")
    recipe = tmp_path / "faults.yaml"
    recipe.write_text(
        harness.RECIPE.replace(
            "{kind: synthetic, train_images: 100, test_images: 20, classes: 4}", f"{{kind: folder, root: {root}}}"
        )
        + f"output: {{root: '{tmp_path / 'runs'}'}}\n"
    )
    cache = Path(os.environ["ZOO_CACHE"]) / "pixels"
    before = set(cache.glob("*")) if cache.exists() else set()
    launched = launch("python", tmp_path, str(recipe))
    assert harness.wait_until(lambda: any(cache.glob(".*/pixels.bin")), 60), launched.text
    time.sleep(0.2)
    interrupt(launched, signal.SIGINT)
    launched.end(30)
    assert launched.process.returncode == 75, launched.text
    assert "stopped by SIGINT before training began" in launched.text
    assert {path for path in cache.glob("*") if path.is_dir()} <= before
    assert not list(cache.glob(".*/"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("what", ["killed", "hangs"])
def test_a_process_that_is_gone_or_silent_ends_the_whole_job(tmp_path: Path, what: str) -> None:
    recipe = harness.write_recipe(tmp_path, RECIPE)
    launched = launch("torchrun", tmp_path, str(recipe), "train.timeout=10")
    assert harness.wait_until(lambda: row(1)(launched, tmp_path), 120), launched.text
    workers = launched.workers()
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL if what == "killed" else signal.SIGSTOP)
    # torchrun asks its processes to end and waits up to 30 s for them; a stopped process does not react.
    launched.end(10 + 45)
    assert launched.process.returncode != 0
    assert launched.text.count("error: ") <= 1, launched.text
    checkpoint.newest(tmp_path / "runs" / "faults" / "checkpoints")
