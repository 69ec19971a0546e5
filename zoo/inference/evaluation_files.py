"""Write an evaluation as a folder: `eval.json`, `predictions.csv`, `predictions.safetensors`, `confusion.svg`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from zoo.errors import StorageError, ZooError
from zoo.inference.evaluation import Evaluation
from zoo.metrics import confusion
from zoo.results.confusion import MOST_CLASSES, draw_confusion
from zoo.results.folder import RunFolder
from zoo.results.predictions import HEADER, PREDICTIONS, TENSORS, Predicted, table_text
from zoo.system.files import expanded, staged

REPORT = "eval.json"
NAMES = (REPORT, PREDICTIONS, TENSORS, "confusion.svg")


def check_out(out: Path, run: Path | None) -> None:
    """Check that an evaluation can be written to a folder, before anything is computed.

    Args:
        out: the folder.
        run: the run that is scored, or None if the model belongs to no run.

    Raises:
        ZooError: the folder is the run or inside it, has other contents, or cannot be written.
    """
    own = Path(os.path.realpath(expanded(out)))
    if run is not None and own.is_relative_to(os.path.realpath(run)):
        raise ZooError("--out", f"{out} is in the run {run}, which must not change", "choose a folder elsewhere")
    RunFolder.check(own.parent, "--out")
    if os.path.lexists(own) and not own.is_dir():
        raise ZooError("--out", f"{out} is a file", "choose another folder")
    names = set(os.listdir(own)) if own.is_dir() else set()
    # Without a report, files with these names are not those of an evaluation.
    others = sorted(names.difference(NAMES) if REPORT in names else names)
    if others:
        raise ZooError("--out", f"{out} contains other files: {', '.join(others[:3])}", "choose a new or empty folder")


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Write an evaluation atomically: the folder has either the earlier content or the new one.

    Raises:
        StorageError: the folder cannot be written.
    """
    target = Path(os.path.realpath(expanded(out)))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with staged(target) as folder:
            folder.mkdir()
            _write(evaluation, folder)
    except (OSError, RuntimeError, SafetensorError, StorageError) as error:
        # A full disk is a SafetensorError or, from torch, a RuntimeError.
        reason = error.what if isinstance(error, StorageError) else getattr(error, "strerror", None) or str(error)
        raise StorageError(str(out), f"cannot be written: {reason}", "free some space or choose another folder") from None


def written(out: Path) -> list[str]:
    """Return the names of the files of an evaluation that are in a folder."""
    return [name for name in NAMES if (expanded(out) / name).exists()]


def _write(evaluation: Evaluation, folder: Path) -> None:
    text = json.dumps(evaluation.values(), indent=2, ensure_ascii=False)
    (folder / REPORT).write_text(f"{text}\n", encoding="utf-8")
    table = table_text((*HEADER, "error"), _rows(evaluation))
    (folder / PREDICTIONS).write_bytes(table.encode())
    save_file(
        {"logits": evaluation.logits.contiguous(), "targets": evaluation.targets.contiguous()},
        folder / TENSORS,
    )
    used = _occurring(evaluation)
    if len(used) <= MOST_CLASSES:
        # Each image's largest logit is that of a used class.
        matrix = confusion(evaluation.logits[:, used], torch.searchsorted(used, evaluation.targets))
        title = f"{evaluation.model} on {evaluation.data}, {evaluation.split}"
        names = [evaluation.classes[output] for output in used.tolist()]
        draw_confusion(matrix.numpy(), names, folder / "confusion.svg", title)


def _rows(evaluation: Evaluation) -> Iterator[tuple[str | int, ...]]:
    """Yield a row for each image that was scored, then one for each that could not be read."""
    scored = Predicted(evaluation.split, evaluation.files, evaluation.logits, evaluation.targets)
    for row in scored.rows(evaluation.classes):
        yield *row, ""
    for image in evaluation.unread:
        yield evaluation.split, image.file, image.label, "", "", "", "", image.error


def _occurring(evaluation: Evaluation) -> Tensor:
    """Return the classes that have images or were predicted, ascending, int64 [K]."""
    return torch.cat([evaluation.targets, evaluation.logits.argmax(1)]).unique()
