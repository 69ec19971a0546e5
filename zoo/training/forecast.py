"""Forecast how long a recipe trains on this machine, and what memory and disk it needs, from a few real steps.

The set-up is the same as for a run. The steps are too, except for a learning rate of 0, and the model is discarded
afterwards. Only caches are written.
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
from zoo.training.budget import FINISH_SECONDS, Pauses
from zoo.training.cached_features import use_features
from zoo.training.final_scores import final_passes
from zoo.training.inputs import Inputs, load_inputs
from zoo.training.preflight import check_environment
from zoo.training.saver import pack
from zoo.training.setup import Setup, set_up
from zoo.training.state import Training
from zoo.training.timing import mean_over_run, sampled, time_evaluation, time_stages, time_steps

# Iterations of the linear probe: how many are timed, and how many it takes.
PROBE_ITERATIONS = (5, 60)
# Images on which the linear probe is timed.
PROBE_IMAGES = 2_000
# Most bytes of a checkpoint that is written to time it; the time of a larger one is estimated from its size.
MOST_BYTES_WRITTEN = 500_000_000
# Bytes/s at which a larger checkpoint is assumed to be hashed and written: a slow SSD.
DISK_SPEED = 200e6
# If loading takes at least this many seconds, it is timed again: the first time decodes images, which a run finds decoded.
WORTH_REPEATING = 1.0
# Extra seconds that a full set-up spends on measuring, compared with a quick one. Measured: 3 to 7 on 2 cores.
MEASURING_SECONDS = 4.0


@dataclass(frozen=True)
class Forecast:
    """The predicted cost of a run on this machine.

    Attributes:
        set_up_seconds: until the first step: libraries, data that is already decoded, model, measuring what is fastest.
        probe_seconds: fitting the head first, if the recipe asks for it.
        train_seconds: all training steps.
        evaluation_seconds: all evaluations during the run, and the scores of val and test at the end.
        saving_seconds: checkpoints, and the files at the end.
        epochs, steps_per_epoch, steps: of the whole run; `train.patience` may end it earlier.
        step_seconds: a training step, averaged over the run's image sizes.
        step_seconds_by_size: seconds of the timed steps, by the side of their images in pixels.
        images_per_second: of training.
        evaluation_images_per_second: of evaluation; 0 where there is nothing to evaluate.
        peak_memory_mb: of one process, in MB of 10**6 bytes; on a GPU, the memory that torch allocates.
        checkpoint_bytes: size of a checkpoint.
        disk_bytes: all files that are kept, and the checkpoint that is being written.
        precision, channels_last, accumulate: as chosen on this machine.
        device: name of the device.
        processes: number of processes that train together.
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
        """Return all fields as plain values, with the total seconds and minutes."""
        return {"seconds": self.seconds, "minutes": self.minutes, **asdict(self)}


# -------------------------------------------------------------------------------------- forecast


def forecast(recipe: Recipe, console: Console | None = None, *, began: float | None = None) -> Forecast:
    """Set up a recipe as a run does, time a few steps, and predict the whole run.

    Args:
        recipe: the recipe of the run.
        console: where to print what the start of a run prints; None: nowhere.
        began: `time.perf_counter()` at the start of the program, so that the import of libraries counts; None: now.

    Raises:
        ZooError: bad input, as for a run.
    """
    began = time.perf_counter() if began is None else began
    return forecast_of(*prepare(recipe, launch.read(), console or Console(quiet=True), began))


def prepare(
    recipe: Recipe, start: Launch, console: Console, began: float, *, data: Splits | None = None, quick: bool = False
) -> tuple[Setup, float]:
    """Set up a recipe as a run does; return the set-up and the seconds that a run will take for it.

    Args:
        recipe: the recipe of the run.
        start: the rank of this process and the number of processes.
        console: where to print what the start of a run prints.
        began: `time.perf_counter()` at the beginning of the set-up.
        data: the splits, if they are loaded already.
        quick: measure what is fastest only briefly, to compare many backbones.

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
    """Load the inputs; return them, and the seconds spent here that a run will not spend, as it finds images decoded."""
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
    """Time steps of a run that is set up, and predict the whole run. The set-up must not be trained afterwards.

    Args:
        setup: a run before its first step; its optimizer and BatchNorm statistics change.
        set_up_seconds: time that the set-up took.
    """
    # Features are in the cache afterwards, where the run itself finds them.
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
        pauses = Pauses(saving * _checkpoints(setup), training.epochs, saving)
        training.budget.assume(times.usual[largest] / largest**2, per_image, pauses)
    usual = mean_over_run(times, training)
    # Each new image size has a warm-up: kernels are chosen and memory is allocated.
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
    """Count the images scored in the evaluations during a run, without those at its end."""
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
    """Estimate the seconds of fitting the head first: features of all training images, then the iterations of a solver."""
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
    # Per image, a pass over the training images costs as much as one over val; without val, half as much as a training step.
    passes = per_image or 0.5 * time_steps(training, [training.eval_size]).usual[training.eval_size] / training.batch_size
    return passes * len(training.train) + solver


def _checkpoint_cost(setup: Setup) -> tuple[float, int]:
    """Measure the seconds and bytes of a checkpoint by writing one into the cache folder and removing it."""
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
    """Forecast a recipe in a separate process; called by `zoo.system.workers.run`.

    Args:
        arguments: `recipe`, the result of `Recipe.model_dump(mode="json")`.
        send: called once, with `Forecast.record()`.

    Raises:
        ZooError: bad input, as for a run.
    """
    recipe = read_recipe(arguments["recipe"])
    announce_threads(recipe.train.threads, launch.read())
    send(forecast(recipe).record())


def read_recipe(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe from the values of its `model_dump(mode="json")`."""
    # By way of JSON: Python values are validated strictly, and text is not accepted as a path there.
    return Recipe.model_validate_json(json.dumps(values))
