"""Checkpoints: a folder of safetensors and JSON, staged, verified, and renamed into place when whole.

    checkpoints/step-00000120/{model,optimizer,…}.safetensors, state.json, manifest.json (SHA-256 of each)

No pickle is written or read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from zoo.errors import StorageError, ZooError

Tensors = dict[str, Tensor]


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
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        for name, tensors in checkpoint.tensors.items():
            save_file(
                {key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()}, staging / f"{name}.safetensors"
            )
        (staging / "state.json").write_text(json.dumps(checkpoint.state), encoding="utf-8")
        manifest = {path.name: _digest(path) for path in sorted(staging.iterdir())}
        (staging / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        for path in staging.iterdir():
            _sync(path)
        _sync(staging)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(staging, target)
        _sync(root)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StorageError(str(target), f"cannot be written: {error}", "free some space, then --resume") from None
    return target


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint after comparing every file with its manifest.

    Raises:
        ZooError: a file is missing or differs.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name, digest in manifest.items():
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
            shutil.rmtree(folder_of(root, step), ignore_errors=True)


def pack_optimizer(optimizer: Optimizer) -> tuple[Tensors, dict[str, Any]]:
    """An optimizer's state as tensors and plain values."""
    tensors: Tensors = {}
    plain: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                plain[f"{index}.{key}"] = value
    return tensors, plain


def unpack_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Give an optimizer back the state that `pack_optimizer` took."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *plain.items()]:
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _digest(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
