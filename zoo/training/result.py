"""Finish a run: load the selected weights, score the test set, and write the files that report the result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from zoo.data.batches import Batches
from zoo.data.feature_batches import FeatureBatches
from zoo.data.splits import Splits
from zoo.metrics import METRICS, confusion, interval, per_class
from zoo.models.lora import merge_lora
from zoo.models.save import save_model
from zoo.report.page import REPORT
from zoo.results.confusion import MOST_CLASSES, draw_confusion
from zoo.results.curves import draw_curves
from zoo.results.folder import RunFolder
from zoo.results.predictions import PREDICTIONS, TENSORS, Predicted, csv_text
from zoo.results.result import VERSION, ClassScores, Result, SoupScores, Temperature, TestScores, TrainingFigures, write_result
from zoo.section import decided
from zoo.system import launch
from zoo.system.console import Console, plural
from zoo.system.device import peak_memory_mb
from zoo.system.files import staged, storing
from zoo.system.hardware import versions
from zoo.system.table import percent
from zoo.training import checkpoint, processes
from zoo.training.evaluate import predict_split
from zoo.training.final_scores import known_predictions
from zoo.training.report import report_finished
from zoo.training.resume import load_model
from zoo.training.setup import Setup
from zoo.training.soup import Soup, make_soup
from zoo.training.state import Progress, Training
from zoo.training.temperature import calibrate, calibrated

Predictions = tuple[Tensor, Tensor]


def finish(setup: Setup, run: RunFolder, progress: Progress) -> None:
    """Score the test set with the selected weights; write the model, the pictures, `result.json` and the report page."""
    training = setup.training
    memory = peak_memory_mb(training.accelerator.device)
    # The whole model on images, even if only its head was trained, on features.
    scored = setup.scored
    soup = _soup(setup, run, progress)
    epoch = soup.epochs[0] if soup is not None else _select(setup, run, progress)
    merged = _merge(setup)
    fitted = calibrate(scored, setup.console) if setup.recipe.eval.temperature == "fit" else None
    predictions, speed = _predict(scored, scored.test)
    changed = soup is not None or merged or fitted is not None or setup.whole is not None
    val, val_speed = (None, None) if changed else _known(training, progress, epoch)
    if val is None:
        val, val_speed = _predict(scored, scored.val)
    result = _result(setup, progress, epoch, predictions, memory, speed or val_speed)
    if soup is not None:
        result = result.model_copy(update={"soup": SoupScores.model_validate(soup.record())})
    if val is not None:
        # They may not be those of the row of the epoch: the weights may be merged or averaged, features may have stood for
        # images, or the run may have been resumed with other micro-batches.
        result = result.model_copy(update={"val": {name: metric(*val) for name, metric in METRICS.items()}})
    if fitted is not None and val is not None:
        result = calibrated(result, fitted, *val)
    if not training.accelerator.is_main_process:
        return
    _save_model(setup, run)
    title = f"{setup.recipe.name}: {setup.recipe.backbone.name} on {setup.recipe.data.kind}"
    draw_curves(progress.history, run.path / "curves.svg", title, selected_epoch=epoch)
    _save_predictions(run, setup.inputs.data, val, predictions)
    if predictions is not None and len(setup.inputs.data.classes) <= MOST_CLASSES:
        matrix = confusion(*predictions).numpy()
        draw_confusion(matrix, setup.inputs.data.classes, run.path / "confusion.svg", f"{title}, test set")
    # Last of the files that a run needs: a run that has it is done.
    write_result(run, result)
    report_finished(setup, run, progress)
    describe_result(setup.console, run, result)


def _merge(setup: Setup) -> bool:
    """Merge low-rank updates into the weights, so that the scored model is the saved one; return whether there were any."""
    averaged = setup.training.averaged
    models = [setup.bare_model, *([averaged.module] if averaged is not None else [])]
    return setup.recipe.finetune.lora is not None and sum(map(merge_lora, models)) > 0


def _predict(training: Training, batches: Batches | FeatureBatches | None) -> tuple[Predictions | None, float | None]:
    """Predict a split, if there is one; return the predictions, and the images/s over all processes."""
    if batches is None:
        return None, None
    started = time.perf_counter()
    # The outputs are on the CPU, so a GPU has finished them.
    found = predict_split(training, batches)
    return found, len(batches) / (time.perf_counter() - started)


def _known(training: Training, progress: Progress, epoch: int) -> tuple[Predictions | None, float | None]:
    """Return the result of `_predict` for val from the evaluation of the selected epoch; None, None if it was not kept."""
    found = known_predictions(training, next(row["step"] for row in progress.history if row["epoch"] == epoch))
    return (None, None) if found is None else ((found.logits, found.targets), len(found.targets) / found.seconds)


def _select(setup: Setup, run: RunFolder, progress: Progress) -> int:
    """Load the weights of the selected epoch, unless it is the last one; return the epoch, counted from 1."""
    if progress.best is None or setup.training.select_by == "last":
        return progress.history[-1]["epoch"]
    epoch, step, _ = progress.best
    if step != progress.step:
        found: list[checkpoint.Checkpoint] = []
        start, folder = launch.read(), checkpoint.folder_of(run.path / "checkpoints", step)
        processes.from_first(start, lambda: found.append(checkpoint.load(folder)))
        device = setup.training.accelerator.device
        load_model(setup, processes.share_checkpoint(start, found[0] if found else None, device))
    return epoch


def _soup(setup: Setup, run: RunFolder, progress: Progress) -> Soup | None:
    """Average the weights of the best epochs and print which, if the recipe asks for it; return None if there is no average."""
    kind, key = setup.recipe.train.soup, setup.training.select_by
    if kind == "none":
        return None
    best = progress.ranked(key)[: decided(setup.recipe.output.keep_best)]
    soup = make_soup(setup.training, kind, best, run.path / "checkpoints")
    if soup is not None:
        setup.console.line()
        alone = ", ".join(f"{epoch}: {_value_text(key, value)}" for epoch, value in soup.candidates)
        averaged = ", ".join(map(str, sorted(soup.epochs)))
        text = f"{kind}, of {plural(len(soup.epochs), 'epoch')} ({averaged}): {key} {_value_text(key, soup.value)}"
        setup.console.fact("soup", text)
        setup.console.fact("", f"each alone: {alone}")
    return soup


def _value_text(key: str, value: float) -> str:
    """Return the value of a metric as the console shows it."""
    return percent(value, 2) if key.endswith("accuracy") else f"{value:.4g}"


def _save_model(setup: Setup, run: RunFolder) -> None:
    averaged = setup.training.averaged
    model = averaged.module if averaged is not None else setup.bare_model
    with _stored(run.path / "model", checkpoint.size_of({"model": model.state_dict()})) as folder:
        save_model(
            model,
            folder,
            setup.inputs.data.classes,
            setup.training.eval_size,
            setup.inputs.preprocessing,
            setup.training.tta,
        )


def _save_predictions(run: RunFolder, data: Splits, val: Predictions | None, test: Predictions | None) -> None:
    """Write the predictions for val and test: logits and targets as tensors, and a table by image name."""
    parts, kept = [], {}
    for prefix, split, images, found in (("val_", "val", data.val, val), ("", "test", data.test, test)):
        if images is not None and found is not None:
            kept |= {f"{prefix}logits": found[0].contiguous(), f"{prefix}targets": found[1].contiguous()}
            parts.append(Predicted(split, images.names(), *found))
    if parts:
        with _stored(run.path / TENSORS, checkpoint.size_of({"predictions": kept})) as file:
            save_file(kept, file)
        run.write(PREDICTIONS, csv_text(parts, data.classes))


@contextlib.contextmanager
def _stored(target: Path, size: int) -> Iterator[Path]:
    """Yield a temporary path to write about `size` bytes to; it replaces the target afterwards.

    Raises:
        StorageError: the bytes cannot be written.
    """
    with storing(target, size), staged(target) as staging:
        yield staging


def _result(
    setup: Setup, progress: Progress, epoch: int, predictions: Predictions | None, memory: float, speed: float | None
) -> Result:
    recipe, choice, classes = setup.recipe, setup.execution.choice, setup.inputs.data.classes
    accelerator, built = setup.training.accelerator, setup.model.built
    selected = next(row for row in progress.history if row["epoch"] == epoch)
    return Result(
        version=VERSION,
        status="done",
        name=str(recipe.name),
        backbone=recipe.backbone.name,
        weights=recipe.backbone.weights.kind,
        weights_source=built.source,
        num_classes=len(classes),
        classes=classes,
        params=sum(parameter.numel() for parameter in built.model.parameters()),
        image_size=setup.training.eval_size,
        epochs=progress.history[-1]["epoch"],
        steps=progress.step,
        selected_by=recipe.eval.select_by,
        selected_epoch=epoch,
        val={name: selected[f"val.{name}"] for name in METRICS if f"val.{name}" in selected},
        test=test_scores(classes, *predictions) if predictions is not None else None,
        tta=recipe.eval.tta,
        test_scored="each epoch, as the recipe asks" if recipe.eval.test_every_epoch else "once, after selection",
        predictions=PREDICTIONS if setup.scored.val is not None or setup.scored.test is not None else "",
        train=_training_figures(progress.history, selected, setup.probe_seconds + setup.feature_seconds, memory, speed),
        precision=choice.precision,
        channels_last=choice.channels_last,
        accumulate=setup.training.micro_batches,
        compile=bool(recipe.train.compile),
        batch_size=setup.training.batch_size,
        processes=accelerator.num_processes,
        seed=recipe.train.seed,
        versions=versions(),
        device=setup.device_name,
        device_type=accelerator.device.type,
    )


def _training_figures(
    history: list[dict[str, Any]], selected: dict[str, Any], once: float, memory: float, speed: float | None
) -> TrainingFigures:
    seconds = sum(row["seconds"] for row in history)
    return TrainingFigures(
        loss=selected["train.loss"],
        accuracy=selected["train.accuracy"],
        images_per_second=sum(row["seconds"] * row["images_per_second"] for row in history) / seconds,
        data_share=sum(row["seconds"] * row["data_share"] for row in history) / seconds,
        seconds=seconds + once,
        peak_memory_mb=memory,
        eval_images_per_second=speed,
    )


def test_scores(classes: tuple[str, ...], logits: Tensor, targets: Tensor) -> TestScores:
    """Return every score of logits float32 [N, C] and targets int64 [N], with the interval of the accuracy."""
    scores = {name: metric(logits, targets) for name, metric in METRICS.items()}
    rows = zip(classes, per_class(logits, targets), strict=True)
    return TestScores(
        **scores,  # type: ignore[arg-type]
        n=len(targets),
        ci95=interval(scores["accuracy"], len(targets)),
        per_class={name: ClassScores(**row) for name, row in rows},  # type: ignore[arg-type]
    )


def temperature_line(found: Temperature) -> str:
    """Return the line that shows the effect of a temperature on val."""
    before, after = (percent(share, 2) for share in found.ece)
    losses = " to ".join(f"{loss:.4f}" for loss in found.loss)
    images = plural(found.images, "image")
    return f"temperature {found.value:g}: expected calibration error of val {before} to {after}, loss {losses} ({images})"


def describe_result(console: Console, run: RunFolder, result: Result) -> None:
    """Print the lines that end a run."""
    console.line()
    if result.temperature:
        console.line(temperature_line(result.temperature))
    epoch = f"{result.selected} by {result.selected_by}"
    if result.test:
        test = result.test
        low, high = (percent(bound, 2) for bound in test.ci95)
        text = f"accuracy {percent(test.accuracy, 2)} (95 % interval {low} to {high}) on {plural(test.n, 'image')}, {epoch}"
        console.fact("test", text)
    elif result.val:
        console.fact("val", f"accuracy {percent(result.val['accuracy'], 2)}, {epoch}; the data has no test set")
    train = result.train
    speed = f"{train.images_per_second:,.0f} images/s"
    console.fact("train", f"{train.seconds:.0f} s, {speed}, peak memory {train.peak_memory_mb:,.0f} MB")
    page = f", {REPORT}" if (run.path / REPORT).exists() else ""
    console.fact("run", f"{run.path} (result.json, model/{page})")
