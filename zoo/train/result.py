"""The end of a run: the selected weights, the one look at the test set, and the files that tell of it."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from zoo.metrics import METRICS, confusion, interval, per_class
from zoo.models.save import save_model
from zoo.results.confusion import draw_confusion
from zoo.results.curves import draw_curves
from zoo.results.folder import RunFolder
from zoo.system.files import staged, storing
from zoo.system.hardware import versions
from zoo.train import checkpoint
from zoo.train.evaluate import eval_model, evaluate, evaluation_batch
from zoo.train.saver import load_model
from zoo.train.state import Progress, Setup


def finish(job: Setup, run: RunFolder, progress: Progress) -> None:
    """Score the test set with the selected weights, write the model, `result.json` and the pictures."""
    main = job.task.accelerator.is_main_process
    memory = peak_memory_mb()
    epoch = _select(job, run, progress)
    predictions = _test(job)
    result = _result(job, progress, epoch, predictions, memory)
    if not main:
        return
    model = job.task.averaged.module if job.task.averaged is not None else job.built.model
    with _stored(run.path / "model", checkpoint.size_of({"model": model.state_dict()})) as folder:
        save_model(model, folder, job.data.classes, job.recipe.image_size.end, job.preprocessing)
    title = f"{job.recipe.name}: {job.recipe.backbone.name} on {job.recipe.data.kind}"
    draw_curves(progress.history, run.path / "curves.svg", title, selected_epoch=epoch)
    if predictions is not None:
        logits, targets = predictions
        kept = {"logits": logits.contiguous(), "targets": targets.contiguous()}
        with _stored(run.path / "predictions.safetensors", checkpoint.size_of({"predictions": kept})) as file:
            save_file(kept, file)
        draw_confusion(confusion(logits, targets).numpy(), job.data.classes, run.path / "confusion.svg", f"{title}, test set")
    # Last: a run that has it is done.
    run.write_json("result.json", result)
    _say(job, run, result)


@contextlib.contextmanager
def _stored(target: Path, size: int) -> Iterator[Path]:
    """Give a place to write about `size` bytes to, which are then put in the target's place.

    Raises:
        StorageError: they cannot be written.
    """
    with storing(target, size), staged(target) as staging:
        yield staging


def _select(job: Setup, run: RunFolder, progress: Progress) -> int:
    """Load the best epoch's weights, where one was selected; returns the epoch, from 1."""
    task = job.task
    if progress.best is None or task.recipe.eval.select_by == "last":
        return progress.history[-1]["epoch"]
    epoch, step, _ = progress.best
    if step != progress.step:
        load_model(job, checkpoint.load(checkpoint.folder_of(run.path / "checkpoints", step)))
    return epoch


def _test(job: Setup) -> tuple[Tensor, Tensor] | None:
    task = job.task
    if task.test is None:
        return None
    return evaluate(task.accelerator, eval_model(task), task.test, task.recipe.image_size.end, evaluation_batch(task))


def _result(
    job: Setup, progress: Progress, epoch: int, predictions: tuple[Tensor, Tensor] | None, memory: float
) -> dict[str, Any]:
    recipe, task = job.recipe, job.task
    selected = next(row for row in progress.history if row["epoch"] == epoch)
    seconds = sum(row["seconds"] for row in progress.history)
    images = sum(row["seconds"] * row["images_per_second"] for row in progress.history)
    data_seconds = sum(row["seconds"] * row["data_share"] for row in progress.history)
    return {
        "status": "done",
        "name": recipe.name,
        "backbone": recipe.backbone.name,
        "weights": recipe.backbone.weights.kind,
        "weights_source": job.built.source,
        "num_classes": len(job.data.classes),
        "classes": list(job.data.classes),
        "params": sum(parameter.numel() for parameter in job.built.model.parameters()),
        "image_size": recipe.image_size.end,
        "epochs": progress.history[-1]["epoch"],
        "steps": progress.step,
        "selected_by": recipe.eval.select_by,
        "selected_epoch": epoch,
        "val": {name: selected[f"val.{name}"] for name in METRICS if f"val.{name}" in selected},
        "test": _test_result(job, predictions),
        "test_scored": "each epoch, as the recipe asks" if recipe.eval.test_every_epoch else "once, after selection",
        "train": {
            "loss": selected["train.loss"],
            "accuracy": selected["train.accuracy"],
            "images_per_second": images / seconds,
            "data_share": data_seconds / seconds,
            "seconds": seconds + job.probe_seconds,
            "peak_memory_mb": memory,
        },
        "precision": job.choice.precision,
        "channels_last": job.choice.channels_last,
        "accumulate": job.choice.accumulate,
        "compile": recipe.train.compile,
        "batch_size": recipe.train.batch_size,
        "processes": task.accelerator.num_processes,
        "seed": recipe.train.seed,
        "versions": versions(),
        "device": job.device_name,
    }


def _test_result(job: Setup, predictions: tuple[Tensor, Tensor] | None) -> dict[str, Any] | None:
    if predictions is None:
        return None
    logits, targets = predictions
    scores: dict[str, Any] = {name: metric(logits, targets) for name, metric in METRICS.items()}
    rows = per_class(logits, targets)
    return scores | {
        "n": len(targets),
        "ci95": list(interval(scores["accuracy"], len(targets))),
        "per_class": dict(zip(job.data.classes, rows, strict=True)),
    }


def _say(job: Setup, run: RunFolder, result: dict[str, Any]) -> None:
    console, test = job.console, result["test"]
    console.line()
    epoch = f"epoch {result['selected_epoch']} by {result['selected_by']}"
    if test:
        low, high = test["ci95"]
        console.fact(
            "test", f"accuracy {test['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}) on {test['n']:,} images, {epoch}"
        )
    elif result["val"]:
        console.fact("val", f"accuracy {result['val']['accuracy']:.2%}, {epoch}; the data has no test set")
    train = result["train"]
    console.fact(
        "train",
        f"{train['seconds']:.0f} s, {train['images_per_second']:,.0f} images/s, peak memory {train['peak_memory_mb']:,.0f} MB",
    )
    console.fact("run", f"{run.path} (result.json, model/, curves.svg{', confusion.svg' if test else ''})")


def peak_memory_mb() -> float:
    """The most memory that training took, in MB of 10^6 bytes: the GPU's allocator, or the process where there is none."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
