"""Checkpoints: a folder of safetensors and JSON, staged, verified, and renamed into place when whole.

    checkpoints/step-00000120/{model,optimizer,…}.safetensors, state.json, manifest.json (SHA-256 of each)

No pickle is written or read.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo.errors import ZooError
from zoo.models.save import separate
from zoo.system.files import PREVIOUS, digest, discard, recover, remove, staged, storing

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint: groups of tensors by name, and plain values."""

    tensors: dict[str, Tensors]
    state: dict[str, Any]


def folder_of(root: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint."""
    return root / f"step-{step:08d}"


def steps(root: Path) -> list[int]:
    """Return the steps that have a checkpoint, ascending."""
    return sorted(int(path.name[5:]) for path in root.glob("step-*") if path.name[5:].isdigit())


def save(root: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint whole, or not at all.

    Raises:
        StorageError: it cannot be written; earlier checkpoints are unchanged.
    """
    target = folder_of(root, step)
    with storing(target, size_of(checkpoint.tensors)):
        root.mkdir(parents=True, exist_ok=True)
        with staged(target) as staging:
            _write(staging, checkpoint)
    return target


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir(exist_ok=True)
    for name, tensors in checkpoint.tensors.items():
        plain = {key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()}
        separate(plain)
        save_file(plain, folder / f"{name}.safetensors")
    (folder / "state.json").write_text(json.dumps(checkpoint.state), encoding="utf-8")
    manifest = {path.name: digest(path) for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def sweep(root: Path) -> None:
    """Clean up after a killed process: remove half-written and half-deleted checkpoints, put back those it was replacing."""
    for path in root.glob(".step-*"):
        if path.name.endswith(PREVIOUS):
            recover(root / path.name[1:].removesuffix(PREVIOUS))
        else:
            remove(path)


def size_of(tensors: Mapping[str, Tensors]) -> int:
    """Count the bytes of groups of tensors."""
    return sum(tensor.numel() * tensor.element_size() for group in tensors.values() for tensor in group.values())


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint after comparing every file with its manifest.

    Raises:
        ZooError: a file is missing or differs.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name, expected in manifest.items():
            if Path(name).name != name:
                raise ZooError(str(folder), f"damaged: manifest.json names {name!r}", "use an earlier checkpoint")
            if digest(folder / name) != expected:
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
    """Return the folder of the newest whole checkpoint, its content, and a message for each damaged one that was skipped.

    Raises:
        ZooError: there is no whole checkpoint.
    """
    passed: list[str] = []
    for step in reversed(steps(root)):
        folder = folder_of(root, step)
        try:
            return folder, load(folder), passed
        except ZooError as error:
            passed.append(f"{error.where}: {error.what}")
    what = passed[0] if passed else f"no checkpoint in {root}"
    raise ZooError("--resume", what + (", no earlier checkpoint" if passed else ""), "start a new run")


def prune(root: Path, keep: set[int]) -> None:
    """Delete the checkpoints of all steps that are not in `keep`; one that cannot be deleted stays."""
    for step in steps(root):
        if step not in keep:
            with contextlib.suppress(OSError):
                discard(folder_of(root, step))
