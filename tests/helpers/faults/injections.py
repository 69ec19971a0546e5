"""Faults that a forked `zoo` gives itself: killed at a point of a save, slow saves, a trace of its steps, broken builds."""

from __future__ import annotations

import ctypes
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch

import zoo.metrics
import zoo.results.folder
import zoo.training.checkpoint
import zoo.training.loop
import zoo.training.run
import zoo.training.saver
import zoo.training.setup
import zoo.training.state


def _replace(module: ModuleType, name: str, by: Callable[..., Any]) -> None:
    """Replace a function of zoo; AttributeError where there is none, as after a move: the build would not be broken."""
    getattr(module, name)
    setattr(module, name, by)


def _points(act: Callable[[str, Callable[[], Any], Callable[[], Any] | None], Any]) -> None:
    """Let `act(name, do, half)` decide what happens at each write, fsync, rename and removal of a save."""
    save_file, write_text, write_bytes, replace, fsync, rmtree = (
        zoo.training.checkpoint.save_file,
        pathlib.Path.write_text,
        pathlib.Path.write_bytes,
        os.replace,
        os.fsync,
        shutil.rmtree,
    )

    def half_file(tensors: Any, path: pathlib.Path) -> None:
        save_file(tensors, path)
        os.truncate(path, path.stat().st_size // 2)

    zoo.training.checkpoint.save_file = lambda tensors, path: act(
        f"write {path.name}", lambda: save_file(tensors, path), lambda: half_file(tensors, path)
    )

    def text(self: pathlib.Path, content: str, **options: Any) -> Any:
        def half() -> None:
            write_text(self, content[: len(content) // 2], **options)

        return act(f"write {self.name}", lambda: write_text(self, content, **options), half)

    def raw(self: pathlib.Path, content: bytes) -> Any:
        return act(
            f"write {self.name}", lambda: write_bytes(self, content), lambda: write_bytes(self, content[: len(content) // 2])
        )

    pathlib.Path.write_text = text
    pathlib.Path.write_bytes = raw
    os.replace = lambda source, target: act(f"rename {source}", lambda: replace(source, target), None)
    os.fsync = lambda handle: act("fsync", lambda: fsync(handle), None)
    shutil.rmtree = lambda path, *rest, **options: act(f"remove {path}", lambda: rmtree(path, *rest, **options), None)


def kill_at_point(number: int, save: int, half: bool) -> None:
    """Be killed at one write, fsync, rename or removal of a certain save: before it, or half way through a write."""
    original = zoo.training.checkpoint.save
    state = {"saves": 0, "points": -1}

    def act(_: str, do: Callable[[], Any], partly: Callable[[], Any] | None) -> Any:
        if state["points"] >= 0:
            if state["points"] == number:
                if half and partly:
                    partly()
                os.kill(os.getpid(), signal.SIGKILL)
            state["points"] += 1
        return do()

    def counted(*arguments: Any) -> Any:
        state["saves"] += 1
        if state["saves"] == save:
            state["points"] = 0
        result = original(*arguments)
        if state["saves"] == save:
            print(f"points {state['points']}", flush=True)
        return result

    _points(act)
    zoo.training.checkpoint.save = counted


def slow_saves(seconds: float) -> None:
    """Make each write, fsync and rename take longer, so that a random kill falls into a save."""

    def act(_: str, do: Callable[[], Any], __: Callable[[], Any] | None) -> Any:
        time.sleep(seconds)
        return do()

    _points(act)


def trace(path: str) -> None:
    """Write the number of each finished step to a file."""
    original = zoo.training.saver.Saver.after_step

    def after_step(self: Any, progress: Any, sums: Any) -> None:
        with open(path, "w") as handle:
            handle.write(str(progress.step))
        original(self, progress, sums)

    zoo.training.saver.Saver.after_step = after_step


def feed_ahead(steps: int) -> None:
    """Gather batches in a thread, some steps ahead, as where a GPU trains."""
    assemble = zoo.training.setup.assemble

    def fed(*arguments: Any) -> Any:
        training = assemble(*arguments)
        training.ahead = steps
        return training

    zoo.training.setup.assemble = fed


def bad_loss(step: int, rank: int) -> None:
    """Make one process's loss infinite at a step."""
    original = zoo.training.loop.one_step
    losses = zoo.training.loop.losses

    def one_step(task: Any, positions: Any, number: int, *rest: Any) -> Any:
        def infinite(*arguments: Any) -> torch.Tensor:
            return losses(*arguments) * (float("inf") if number == step and task.accelerator.process_index == rank else 1)

        zoo.training.loop.losses = infinite
        return original(task, positions, number, *rest)

    zoo.training.loop.one_step = one_step


def at_step(step: int, rank: int, what: str) -> None:
    """Let one process raise, hang (SIGSTOP) or be killed at a step."""
    original = zoo.training.loop.one_step

    def one_step(task: Any, positions: Any, number: int, *rest: Any) -> Any:
        if number == step and task.accelerator.process_index == rank:
            if what == "raise":
                raise zoo.errors.ZooError("injected", "a mistake of one process", "none")
            os.kill(os.getpid(), signal.SIGSTOP if what == "hang" else signal.SIGKILL)
        return original(task, positions, number, *rest)

    zoo.training.loop.one_step = one_step


# ------------------------------------------------------------------------ deliberately broken builds


def broken_order() -> None:
    """Shuffle by a generator that lives as long as the process, as many loops do."""
    generator = np.random.default_rng(0)
    _replace(zoo.training.state, "epoch_order", lambda seed, epoch, count: generator.permutation(count))


def broken_dropout() -> None:
    """Seed dropout once, and not each step."""
    torch.manual_seed(0)
    _replace(zoo.training.loop, "seed_device", lambda device, seed: None)


def broken_save() -> None:
    """Write into the checkpoint's own folder, file after file, over what is there; verify nothing when loading."""

    def save(root: pathlib.Path, step: int, checkpoint: Any) -> pathlib.Path:
        target = zoo.training.checkpoint.folder_of(root, 0)
        target.mkdir(parents=True, exist_ok=True)
        zoo.training.checkpoint._write(target, checkpoint)
        return target

    _replace(zoo.training.checkpoint, "save", save)
    _replace(zoo.training.checkpoint, "digest", lambda path: "")
    _replace(zoo.training.checkpoint, "prune", lambda root, keep: None)


# ----------------------------------------------------------------------------------- a small disk

# Called when the command has ended, in the process that ran it.
AFTERWARDS: list[Callable[[], None]] = []
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000


def small_disk(path: str, size: int, checked: bool) -> None:
    """Put a file system of so many bytes where the runs go; seen by this process only.

    checked: leave the check of the free space in front of a run on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS):
        print("no namespaces", flush=True)
        os._exit(77)
    pathlib.Path("/proc/self/setgroups").write_text("deny")
    pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    os.makedirs(path, exist_ok=True)
    if libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, f"size={size}".encode()):
        print("no tmpfs", flush=True)
        os._exit(77)
    if not checked:
        _replace(zoo.training.run, "_check_space", lambda job, place: None)

    def left() -> None:
        for folder in sorted(pathlib.Path(path).glob("*/checkpoints/step-*")):
            zoo.training.checkpoint.load(folder)
            print(f"whole {folder.name}", flush=True)
        print(f"staged {len(list(pathlib.Path(path).glob('*/checkpoints/.*')))}", flush=True)

    AFTERWARDS.append(left)
