"""Checkpoints: a folder of safetensors and JSON, staged, verified, and renamed into place when whole.

    checkpoints/step-00000120/{model,optimizer,…}.safetensors, state.json, manifest.json (SHA-256 of each)

No pickle is written or read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo.errors import StorageError, ZooError
from zoo.system.files import free_bytes, sync

Tensors = dict[str, Tensor]

# Ends the name of a checkpoint that is being replaced by one of the same step.
PREVIOUS = ".previous"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: groups of tensors by name, and plain values."""

    tensors: dict[str, Tensors]
    state: dict[str, Any]


def folder_of(root: Path, step: int) -> Path:
    """The folder of a step's checkpoint."""
    return root / f"step-{step:08d}"


def steps(root: Path) -> list[int]:
    """The steps that have a checkpoint, ascending."""
    return sorted(int(path.name[5:]) for path in root.glob("step-*") if path.name[5:].isdigit())


def save(root: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint; it is there whole, or not at all.

    Raises:
        StorageError: it cannot be written; the earlier ones are as they were.
    """
    target = folder_of(root, step)
    staging = root / f".{target.name}"
    with storing(target, size_of(checkpoint.tensors)):
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            _write(staging, checkpoint)
            _replace(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return target


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    for name, tensors in checkpoint.tensors.items():
        plain = {key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()}
        save_file(plain, folder / f"{name}.safetensors")
    (folder / "state.json").write_text(json.dumps(checkpoint.state), encoding="utf-8")
    manifest = {path.name: _digest(path) for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for path in folder.iterdir():
        sync(path)
    sync(folder)


def _replace(staging: Path, target: Path) -> None:
    """Rename into place; a step that was saved before stays until then, and `sweep` finds it."""
    previous = target.with_name(f"{staging.name}{PREVIOUS}")
    if target.exists():
        os.replace(target, previous)
    os.replace(staging, target)
    sync(target.parent)
    shutil.rmtree(previous, ignore_errors=True)


def sweep(root: Path) -> None:
    """Clear away what a killed process left: staging folders, half deleted ones."""
    for path in root.glob(".step-*"):
        name = path.name[1:].removesuffix(PREVIOUS)
        if path.name.endswith(PREVIOUS) and not (root / name).exists():
            os.replace(path, root / name)
        else:
            shutil.rmtree(path, ignore_errors=True)


def size_of(tensors: Mapping[str, Tensors]) -> int:
    """Bytes of groups of tensors."""
    return sum(tensor.numel() * tensor.element_size() for group in tensors.values() for tensor in group.values())


@contextlib.contextmanager
def storing(path: Path, size: int) -> Iterator[None]:
    """Turn what goes wrong while about `size` bytes are written into one line.

    Raises:
        StorageError: with the path, the bytes needed and those that are free.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        # A full disk is a SafetensorError or, from torch, a RuntimeError about a position in the stream.
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        what = f"cannot be written: {reason}; needs {size:,} bytes, {free_bytes(path):,} are free"
        raise StorageError(str(path), what, "free some space, then --resume") from None


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint after comparing every file with its manifest.

    Raises:
        ZooError: a file is missing or differs.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name, digest in manifest.items():
            if Path(name).name != name:
                raise ZooError(str(folder), f"damaged: manifest.json names {name!r}", "use an earlier checkpoint")
            if _digest(folder / name) != digest:
                raise ZooError(str(folder), f"damaged: {name}", "use an earlier checkpoint")
        tensors = {
            name.removesuffix(".safetensors"): load_file(folder / name) for name in manifest if name.endswith(".safetensors")
        }
        return Checkpoint(tensors, json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ZooError(str(folder), f"damaged: {Path(error.filename).name} is missing", "use an earlier checkpoint") from None
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        raise ZooError(str(folder), f"damaged: {error}", "use an earlier checkpoint") from None


def newest(root: Path) -> tuple[Path, Checkpoint, list[str]]:
    """The newest whole checkpoint, and a text for each damaged one that was passed over.

    Raises:
        ZooError: there is none.
    """
    passed: list[str] = []
    for step in reversed(steps(root)):
        folder = folder_of(root, step)
        try:
            return folder, load(folder), passed
        except ZooError as error:
            passed.append(error.lines[0])
    what = passed[0] if passed else f"no checkpoint in {root}"
    raise ZooError("--resume", what + (", no earlier checkpoint" if passed else ""), "start a new run")


def prune(root: Path, keep: set[int]) -> None:
    """Delete the checkpoints of other steps; one that cannot be deleted is left."""
    for step in steps(root):
        if step not in keep:
            # Under another name first: half deleted it must not pass for a checkpoint.
            doomed = root / f".{folder_of(root, step).name}"
            with contextlib.suppress(OSError):
                os.replace(folder_of(root, step), doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def _digest(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
