"""Train short runs, and read what they wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zoo.recipe.load import load_recipe
from zoo.training.run import train
from zoo.training.saver import Saver


class Stopped(Exception):
    """The exception that ends a run right after a checkpoint, as if it were killed."""


def run(path: Path, *overrides: str, resume: Path | None = None) -> tuple[Path, dict[str, Any]]:
    folder = train(load_recipe(path, overrides), resume)
    return folder, json.loads((folder / "result.json").read_text())


def stop_at(step: int, path: Path, *overrides: str) -> None:
    """Start a run that ends right after the checkpoint of a step."""
    save = Saver.save

    def save_and_stop(self: Saver, progress: Any) -> None:
        save(self, progress)
        if progress.step == step:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Saver, "save", save_and_stop)
        run(path, *overrides)


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(first: Path, second: Path) -> bool:
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
