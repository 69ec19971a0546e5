"""Forecast how long a recipe trains here, and what memory and disk it needs, from a few steps of the real thing.

The set-up is that of a run. The steps are those of a run too, with a learning rate of 0, and what they were timed on is
thrown away. Nothing is written but caches.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from zoo.data.splits import Splits
from zoo.data.views import PASSES
from zoo.errors import ZooError
from zoo.models.features import last_layer
from zoo.models.logistic import logistic_regression
from zoo.recipe.recipe import Recipe
from zoo.section import decided
from zoo.system import launch
from zoo.system.console import Console
from zoo.system.device import peak_memory_mb, reset_peak_memory
from zoo.system.files import cache_root
from zoo.system.launch import Launch
from zoo.system.threads import announce_threads
from zoo.training import checkpoint, processes
from zoo.training.auto import decide
from zoo.training.budget import FINISH_SECONDS
from zoo.training.cached_features import use_features
from zoo.training.final_scores import final_passes
from zoo.training.inputs import Inputs, load_inputs
from zoo.training.preflight import check_environment
from zoo.training.saver import pack
from zoo.training.setup import Setup, set_up
from zoo.training.state import Training
from zoo.training.timing import mean_over_run, sampled, time_evaluation, time_stages, time_steps

# Iterations of the linear probe that are timed, and those that it takes.
PROBE_ITERATIONS = (5, 60)
# Images that they are timed on.
PROBE_IMAGES = 2_000
# Bytes of a checkpoint above which it is not written to learn how long that takes: its time is reckoned from its size.
MOST_BYTES_WRITTEN = 500_000_000
# Bytes/s at which a larger checkpoint is hashed and written: a slow SSD.
DISK_SPEED = 200e6
# Seconds that loading the data may take before it is done again: the first time decodes images, and a run finds them decoded.
WORTH_REPEATING = 1.0
# Seconds that a run measures for longer than a quick set-up does. Measured: 3 to 7 on 2 cores.
MEASURING_SECONDS = 4.0


@dataclass(frozen=True)
class Forecast:
    """The predicted cost of a run on this machine.

    Attributes:
        set_up_seconds: until the first step: libraries, data that was decoded before, model, measuring what is fastest.
        probe_seconds: fitting the head first, where the recipe says so.
        train_seconds: all training steps.
        evaluation_seconds: val at each evaluation, and val and test at the end.
        saving_seconds: checkpoints, and the files at the end.
        epochs, steps_per_epoch, steps: of the whole run; `train.patience` may end it earlier.
        step_seconds: a training step, averaged over the run's image sizes.
        step_seconds_by_size: those that were timed, by the side of their images in pixels.
        images_per_second: of training.
        evaluation_images_per_second: of evaluation; 0 where there is nothing to evaluate.
        peak_memory_mb: of one process, in MB of 10**6 bytes; on a GPU what torch allocates.
        checkpoint_bytes: a checkpoint.
        disk_bytes: all that is kept, with the checkpoint that is being written.
        precision, channels_last, accumulate: as chosen here.
        device: its name.
        processes: that train together.
    """

    set_up_seconds: float
    probe_seconds: float
    train_seconds: float
    evaluation_seconds: float
    saving_seconds: float
    epochs: int
    steps_per_epoch: int
    steps: int
    step_seconds: float
    step_seconds_by_size: dict[int, float]
    images_per_second: float
    evaluation_images_per_second: float
    peak_memory_mb: float
    checkpoint_bytes: int
    disk_bytes: int
    precision: str
    channels_last: bool
    accumulate: int
    device: str
    processes: int

    @property
    def seconds(self) -> float:
        """Return the seconds of the whole run."""
        parts = (self.set_up_seconds, self.probe_seconds, self.train_seconds, self.evaluation_seconds, self.saving_seconds)
        return sum(parts)

    @property
    def minutes(self) -> float:
        """Return the minutes of the whole run."""
        return self.seconds / 60

    def record(self) -> dict[str, Any]:
        """Return all values as plain ones, the sums too."""
        return {"seconds": self.seconds, "minutes": self.minutes, **asdict(self)}


# -------------------------------------------------------------------------------------- forecast


def forecast(recipe: Recipe, console: Console | None = None, *, began: float | None = None) -> Forecast:
    """Set a recipe up as a run does, time a few steps, and predict the whole run.

    Args:
        recipe: what would be done.
        console: where to report what a start reports; None: nowhere.
        began: `time.perf_counter()` at the start of the program, so that the import of libraries counts; None: now.

    Raises:
        ZooError: bad input, as for a run.
    """
    began = time.perf_counter() if began is None else began
    return forecast_of(*prepare(recipe, launch.read(), console or Console(quiet=True), began))


def prepare(
    recipe: Recipe, start: Launch, console: Console, began: float, *, data: Splits | None = None, quick: bool = False
) -> tuple[Setup, float]:
    """Set a recipe up as a run does; return what came of it, and the seconds that a run will take for the same.

    Args:
        recipe: what would be done.
        start: this process among its siblings.
        console: where to report what a start reports.
        began: `time.perf_counter()` when it began.
        data: the splits, where they were loaded before.
        quick: measure what is fastest only briefly, where many backbones are compared.

    Raises:
        ZooError: bad input, as for a run.
    """
    check_environment(recipe)
    processes.meet(start, recipe.train.timeout)
    found = processes.from_first(start, lambda: decide(recipe))
    recipe = found.recipe
    inputs, spent = _inputs(recipe, start, data)
    if recipe.finetune.probe_first:
        console.fact("probe", "the head will be fitted on frozen features first")
    setup = set_up(recipe, start, console, inputs=inputs, quick=quick, began=began, reasons=found.reasons)
    return setup, time.perf_counter() - began - spent + (MEASURING_SECONDS if quick else 0.0)


def _inputs(recipe: Recipe, start: Launch, data: Splits | None) -> tuple[Inputs, float]:
    """Load the data; return it, and the seconds of it that a run will not spend, as it finds images decoded."""
    before = time.perf_counter()
    inputs = processes.in_turns(start, lambda: load_inputs(recipe, start.processes, data=data))
    first = time.perf_counter() - before
    if first < WORTH_REPEATING or data is not None:
        return inputs, 0.0
    before = time.perf_counter()
    load_inputs(recipe, start.processes)
    again = time.perf_counter() - before
    return inputs, first + again - min(first, again)


def forecast_of(setup: Setup, set_up_seconds: float) -> Forecast:
    """Time steps of a run that is set up, and predict the whole; what was set up has served its purpose afterwards.

    Args:
        setup: as a run begins; its optimizer and BatchNorm statistics change.
        set_up_seconds: what it took.
    """
    # In the cache from then on: the run itself finds them there.
    use_features(setup)
    training, recipe = setup.training, setup.recipe
    device = training.accelerator.device
    reset_peak_memory(device)
    times = time_stages(training, recipe.image_size.sizes())
    memory = peak_memory_mb(device)
    per_image = time_evaluation(training)
    at_end = per_image if setup.whole is None else time_evaluation(setup.whole)
    saving, size = _checkpoint_cost(setup)
    if training.budget is not None:
        largest = max(times.usual)
        training.budget.began = training.budget.clock() - set_up_seconds
        training.budget.assume(times.usual[largest] / largest**2, per_image, saving * _checkpoints(setup) / training.epochs)
    usual = mean_over_run(times.usual, training)
    # What a run meets anew at each size: kernels are chosen and memory is allocated.
    warm_up = sum(max(0.0, times.first[size] - times.usual[size]) for size in times.usual) / len(times.usual)
    sizes = len({training.size_at(step) for step in sampled(training.steps)})
    output = recipe.output
    return Forecast(
        set_up_seconds=set_up_seconds,
        probe_seconds=_probe_seconds(setup, at_end / PASSES[training.tta]) if recipe.finetune.probe_first else 0.0,
        train_seconds=usual * training.steps + warm_up * sizes,
        evaluation_seconds=per_image * _evaluated_images(training) + at_end * _images_at_end(setup),
        saving_seconds=saving * _checkpoints(setup) + FINISH_SECONDS,
        epochs=training.epochs,
        steps_per_epoch=training.steps_per_epoch,
        steps=training.steps,
        step_seconds=usual,
        step_seconds_by_size=times.usual,
        images_per_second=len(training.train) / training.steps_per_epoch / usual,
        evaluation_images_per_second=1 / per_image if per_image else 0.0,
        peak_memory_mb=memory,
        checkpoint_bytes=size,
        disk_bytes=size * (output.keep_last + decided(output.keep_best) + 1) + _model_bytes(setup),
        precision=setup.execution.choice.precision,
        channels_last=setup.execution.choice.channels_last,
        accumulate=setup.execution.choice.accumulate,
        device=setup.device_name,
        processes=training.accelerator.num_processes,
    )


def _evaluated_images(training: Training) -> int:
    """Count the images that a run evaluates at its evaluations."""
    evaluations = -(-training.epochs // training.eval_every)
    val, test = (len(batches) if batches is not None else 0 for batches in (training.val, training.test))
    return evaluations * (val + test * training.test_every_epoch)


def _images_at_end(setup: Setup) -> int:
    """Count the images that a run scores at its end."""
    scored = setup.scored
    val, test = (len(batches) if batches is not None else 0 for batches in (scored.val, scored.test))
    outputs = val * len(setup.inputs.data.classes)
    return val * final_passes(setup.recipe, outputs, features=setup.whole is not None) + test


# ----------------------------------------------------------------------------------------- the rest


def _probe_seconds(setup: Setup, per_image: float) -> float:
    """Return the seconds of fitting the head first: features of all training images, then the iterations of a solver."""
    training = setup.training
    head = last_layer(setup.bare_model, "finetune.probe_first")
    count = min(PROBE_IMAGES, len(training.train))
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, head.in_features, generator=generator)
    targets = torch.randint(head.out_features, (count,), generator=generator)
    timed, taken = PROBE_ITERATIONS
    before = time.perf_counter()
    logistic_regression(features, targets, head.out_features, steps=timed)
    solver = (time.perf_counter() - before) * (taken / timed) * (len(training.train) / count)
    # A pass over the training images costs what one over val does; without val, half a training step.
    passes = per_image or 0.5 * time_steps(training, [training.eval_size]).usual[training.eval_size] / training.batch_size
    return passes * len(training.train) + solver


def _checkpoint_cost(setup: Setup) -> tuple[float, int]:
    """Return the seconds and bytes of a checkpoint: it is written into the cache's folder once, and removed."""
    packed = pack(setup, {})
    size = checkpoint.size_of(packed.tensors)
    if not setup.training.accelerator.is_main_process or size > MOST_BYTES_WRITTEN:
        return size / DISK_SPEED, size
    place = cache_root()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".forecast-", dir=place) as folder:
            before = time.perf_counter()
            checkpoint.save(Path(folder), 0, packed)
            return time.perf_counter() - before, size
    except OSError as error:
        raise ZooError("ZOO_CACHE", f"cannot be written: {place}: {error.strerror}", "set it to another folder") from None


def _checkpoints(setup: Setup) -> int:
    """Count the checkpoints of a run, as if every evaluation were the best so far."""
    training = setup.training
    number, unit = setup.recipe.output.checkpoint_every.split()
    every = int(number) * (training.steps_per_epoch if unit.startswith("epoch") else 1)
    due = set(range(every, training.steps + 1, every)) | {training.steps}
    if training.select_by != "last":
        due |= {training.steps_per_epoch * epoch for epoch in range(training.eval_every, training.epochs, training.eval_every)}
    return len(due)


def _model_bytes(setup: Setup) -> int:
    return checkpoint.size_of({"model": setup.bare_model.state_dict()})


# ------------------------------------------------------------------------------------- in a worker


def in_worker(arguments: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """Forecast a recipe in a process of its own, as `zoo.system.workers.run` calls it.

    Args:
        arguments: `recipe`, what `Recipe.model_dump(mode="json")` returns.
        send: gets `Forecast.record()`, once.

    Raises:
        ZooError: bad input, as for a run.
    """
    recipe = read_recipe(arguments["recipe"])
    announce_threads(recipe.train.threads, launch.read())
    send(forecast(recipe).record())


def read_recipe(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `model_dump(mode="json")` gave the values of."""
    # Strict in Python, where a path must be one; JSON knows none.
    return Recipe.model_validate_json(json.dumps(values))
