"""Print what a run would cost before it starts: `zoo train RECIPE --plan`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from zoo.recipe.recipe import Recipe
from zoo.results.folder import RunFolder
from zoo.section import decided
from zoo.system import launch
from zoo.system.console import Console, plural
from zoo.system.files import free_bytes
from zoo.training.forecast import Forecast, forecast_of, prepare
from zoo.training.setup import Setup
from zoo.training.state import Training
from zoo.training.timing import sampled

# Most characters of the learning-rate curve.
CURVE_WIDTH = 60
# Characters of the curve, from zero to the peak.
LEVELS = "▁▂▃▄▅▆▇█"
# Most epochs whose last learning rate is printed: of a longer run, evenly spaced ones.
MOST_EPOCHS = 10


def plan(recipe: Recipe, *, as_json: bool = False, began: float | None = None) -> None:
    """Print what the start of a run prints, then the predicted minutes, memory, disk and learning rates; write only caches.

    Args:
        recipe: the recipe of the run.
        as_json: print one JSON object and nothing else.
        began: `time.perf_counter()` at the start of the program; None: now.

    Raises:
        ZooError: bad input, as for a run.
    """
    start = launch.read()
    console = Console(quiet=as_json or not start.main)
    RunFolder.check(recipe.output.root)
    with launch.lost_processes(start, recipe.train.timeout):
        setup, seconds = prepare(recipe, start, console, time.perf_counter() if began is None else began)
        found = forecast_of(setup, seconds)
        # The number of steps of a run with a given time is known only now.
        rates = learning_rates(setup.training)
    for name, text in described(setup, found, rates):
        console.fact(name, text)
    if as_json and start.main:
        Console().line(json.dumps(record(setup, found, rates), indent=2, ensure_ascii=False))


def learning_rates(training: Training) -> dict[str, Any]:
    """Return the numbers of the learning-rate curve.

    Returns:
        `curve`, the rates of at most `CURVE_WIDTH` evenly spaced steps; `first` and `final`, the rates of the first and the
        last step; `peak` and `peak_epoch`, the highest rate and the number of epochs after which it is reached; `epochs`,
        the rate of each epoch's last step, as in `metrics.jsonl`.
    """
    rate, per_epoch, steps = training.lr_at, training.steps_per_epoch, training.steps
    highest = max(sampled(steps), key=rate)
    count = min(CURVE_WIDTH, steps)
    return {
        "first": rate(0),
        "peak": rate(highest),
        "peak_epoch": (highest + 1) / per_epoch,
        "final": rate(steps - 1),
        "curve": [rate((2 * place + 1) * steps // (2 * count)) for place in range(count)],
        "epochs": [rate(min((epoch + 1) * per_epoch, steps) - 1) for epoch in range(training.epochs)],
    }


def sparkline(values: Sequence[float]) -> str:
    """Draw non-negative values as characters of eight heights; the highest value is a full block."""
    most = max(values, default=0.0) or 1.0
    return "".join(LEVELS[min(len(LEVELS) - 1, int(value / most * len(LEVELS)))] for value in values)


def record(setup: Setup, found: Forecast, rates: dict[str, Any]) -> dict[str, Any]:
    """Return the plan as values for JSON."""
    recipe, warmup = setup.recipe, setup.recipe.schedule.warmup_epochs
    facts = {"name": recipe.name, "backbone": recipe.backbone.name, "weights": setup.model.built.source}
    return facts | found.record() | {"learning_rate": rates | {"warmup_epochs": warmup}}


def described(setup: Setup, found: Forecast, rates: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines to print for a plan, each with its label."""
    recipe, warmup = setup.recipe, setup.recipe.schedule.warmup_epochs
    epochs = rates["epochs"]
    chosen = sorted({round(place * (len(epochs) - 1) / (MOST_EPOCHS - 1)) for place in range(MOST_EPOCHS)})
    at_ends = ", ".join(f"{epoch + 1}: {epochs[epoch]:.3g}" for epoch in chosen)
    root = recipe.output.root
    kept = recipe.output.keep_last + decided(recipe.output.keep_best)
    warming = f"warm-up over {warmup:g} epoch{'s' * (warmup != 1)}, " if warmup else ""
    start = f"{rates['first']:.3g} at the first step, {warming}"
    peak = f"peak {rates['peak']:.3g} after {rates['peak_epoch']:.3g} epochs, {rates['final']:.3g} at the last step"
    return [
        ("lr", sparkline(rates["curve"])),
        ("", f"{start}{peak}"),
        ("", f"at the end of epoch {at_ends}"),
        ("predicted", f"{minutes(found.seconds)} in all"),
        *(("", f"{minutes(seconds):>9}  {text}") for seconds, text in _parts(setup.training, found)),
        ("memory", f"{found.peak_memory_mb:,.0f} MB{' in each process' if found.processes > 1 else ''}"),
        (
            "disk",
            f"{found.disk_bytes / 1e6:,.0f} MB: {plural(kept, 'checkpoint')} of {found.checkpoint_bytes / 1e6:,.0f} MB, one "
            f"that is being written, and the model; {free_bytes(root) / 1e6:,.0f} MB are free in {root}",
        ),
        ("plan", "nothing was trained or written; leave out --plan to start"),
    ]


def _parts(training: Training, found: Forecast) -> list[tuple[float, str]]:
    """Return the seconds and the description of each part of a run that takes time."""
    by_size = ", ".join(f"{size} px {seconds:.3g} s" for size, seconds in found.step_seconds_by_size.items())
    steps = f"{plural(found.steps, 'step')} of {found.step_seconds:.3g} s, {found.images_per_second:,.0f} images/s ({by_size})"
    often = -(-training.epochs // training.eval_every)
    evaluation = f"evaluation: {plural(often, 'time')} and at the end, {found.evaluation_images_per_second:,.0f} images/s"
    parts = [
        (found.set_up_seconds, "set-up: libraries, data, model, measuring what is fastest"),
        (found.probe_seconds, "the head, fitted on frozen features"),
        (found.train_seconds, f"training: {steps}"),
        (found.evaluation_seconds, evaluation),
        (found.saving_seconds, "checkpoints and files"),
    ]
    return [(seconds, text) for seconds, text in parts if seconds]


def minutes(seconds: float) -> str:
    """Return a duration as text, in minutes, or in hours if it is long."""
    if seconds < 60:
        return f"{seconds / 60:.2f} min"
    return f"{seconds / 60:.1f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
