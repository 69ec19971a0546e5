"""A training job from a recipe to a finished run folder: set up, fit, finish."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import GradientAccumulationPlugin, broadcast_object_list
from torch import Tensor

from zoo import checkpoint, convolution, finetune, fold, launch, optim, probe, stop, tune, weights
from zoo.batches import Batches, Preprocessing
from zoo.config import dump
from zoo.errors import StorageError, ZooError
from zoo.finish import finish
from zoo.recipe import Recipe
from zoo.resample import Normalise
from zoo.resume import changes, flat, go_on
from zoo.run import Console, Run, environment, free_bytes, heading
from zoo.saving import Job, Saver, splits_shown
from zoo.splits import Split, Splits
from zoo.train import Interrupted, Progress, Task, evaluation_batch, fit


def train(recipe: Recipe, resume: Path | None = None, *, allow_change: bool = False) -> Path:
    """Run a recipe to its end.

    Args:
        recipe: what to do.
        resume: the run folder to go on with, None for a new one.
        allow_change: go on with a recipe that differs from the run's.

    Returns:
        The run folder.

    Raises:
        ZooError: bad input, before anything is written; or what stopped the run.
        Stopped: a signal asked for it.
    """
    start = launch.read()
    console = Console(quiet=not start.main)
    launch.check(recipe)
    if resume is None:
        Run.check(recipe.output.root)
    with contextlib.ExitStack() as held, launch.lost_processes(start, recipe.train.timeout):
        changed: list[str] = []
        saved = None
        if resume is not None:
            changed = changes(recipe, resume, allowed=allow_change)
            if start.main:
                held.enter_context(Run(resume).held())
                checkpoint.sweep(resume / "checkpoints")
            saved = checkpoint.newest(resume / "checkpoints")
        job = set_up(recipe, start, console, saved[1].state if saved else None)
        run = _open_run(job, resume)
        if start.main and resume is None:
            held.enter_context(run.held())
        stop.defer()
        progress = go_on(job, run, saved, changed, main=start.main) if saved else Progress()
        saver = Saver(job, run)
        try:
            if saved is None and recipe.finetune.probe_first:
                _probe(job)
            console.fact("run", str(run.path))
            console.line()
            console.line(heading(splits_shown(job)))
            fit(job.task, progress, on_epoch=saver.after_epoch, on_step=saver.after_step)
            finish(job, run, progress)
        except Interrupted:
            raise saver.stopped(progress) from None
        job.task.accelerator.end_training()
    return run.path


# -------------------------------------------------------------------------------------- set up


def set_up(recipe: Recipe, start: launch.Launch, console: Console, resumed: dict[str, Any] | None = None) -> Job:
    """Load the data, build and prepare the model; say what came of it.

    Args:
        recipe: what to do.
        start: this process among its siblings.
        console: where to say it.
        resumed: the plain values of the checkpoint that the run goes on from.

    Raises:
        ZooError: bad input. Nothing was written but caches.
    """
    threads = launch.set_threads(recipe.train.threads, start)
    launch.keep_memory()
    found = recipe.backbone.weights.find(recipe.backbone.name)
    facts = weights.data_config(recipe.backbone.name)
    size = recipe.image_size
    data = recipe.data.load(recipe.train.seed, size.end, facts["interpolation"], quiet=not start.main)
    check_data(recipe, data, start)
    torch.manual_seed(recipe.train.seed)
    built = weights.build(recipe.backbone, found, len(data.classes), size.end, grows=size.start != size.end)
    frozen = finetune.freeze(recipe.finetune, built.model, built.head)
    for side in {size.start, size.end}:
        _try_size(recipe.backbone.name, built.model, side)
    if launch.on_cpu():
        convolution.quicken(built.model)
    folded = fold.fold(built.model, frozen, _example(size.end)) if frozen else 0
    console.fact("backbone", _backbone_text(recipe, built, folded))
    console.fact("weights", f"{built.source}: {built.report}")
    console.fact("data", f"{recipe.data.kind}: {data}")
    for note in data.notes:
        console.fact("", note)

    accelerator, choice = _accelerate(recipe, built, frozen, start, resumed)
    preprocessing = facts | {"crop_pct": _crop(recipe, facts)}
    way = Preprocessing(Normalise(facts["mean"], facts["std"]), facts["interpolation"], preprocessing["crop_pct"])
    task = _task(recipe, accelerator, built, data, way, choice, frozen)
    device_name = torch.cuda.get_device_name() if accelerator.device.type == "cuda" else "cpu"
    console.fact(
        "device",
        f"{device_name}, {accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}, {threads} threads each",
    )
    console.fact("precision", str(choice))
    console.fact("schedule", _schedule_text(task))
    return Job(recipe, task, data, built, preprocessing, choice, threads, console, device_name)


def _example(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def _try_size(name: str, model: torch.nn.Module, side: int) -> None:
    """See that the backbone takes images of a size, before anything depends on it."""
    try:
        model.eval()(_example(side))
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ZooError(
            "image_size", f"{name} does not take {side} px: {reason}", "use its own size, or a multiple of its stride"
        ) from None


def check_data(recipe: Recipe, data: Splits, start: launch.Launch) -> None:
    """See that the data fits the recipe.

    Raises:
        ZooError: too few images for the batch size or the processes, or no validation images to select by.
    """
    size, count = recipe.train.batch_size, len(data.train)
    if size > count:
        raise ZooError("train.batch_size", f"{size}, but only {count} training images", "lower it")
    micro = recipe.train.accumulate if isinstance(recipe.train.accumulate, int) else 1
    smallest = count // -(-count // size)
    if smallest < start.processes * micro:
        raise ZooError(
            "train.batch_size", f"{size} is too small for {start.processes} processes x {micro} micro-batches", "raise it"
        )
    if smallest == start.processes * micro and recipe.finetune.batch_norm == "train" and smallest < count:
        # One image at a time has no statistics of its own.
        raise ZooError(
            "train.batch_size", "leaves one image for BatchNorm to average over", "raise it, or set finetune.batch_norm: frozen"
        )
    if data.val is None and recipe.eval.select_by != "last":
        raise ZooError(
            "eval.select_by",
            f"{recipe.eval.select_by} needs validation images, and there are none",
            "set data.val_fraction, or use last",
        )


def _accelerate(
    recipe: Recipe, built: weights.Built, frozen: Sequence[torch.nn.Module], start: launch.Launch, resumed: dict[str, Any] | None
) -> tuple[Accelerator, tune.Choice]:
    """Find the device, choose precision and layout on it, and start Accelerate with them."""
    from accelerate import PartialState

    state = PartialState(cpu=launch.on_cpu(), **launch.patience(start, recipe.train.timeout))
    device = torch.device(state.device or "cpu")
    if state.num_processes != start.processes:
        raise ZooError(
            "launch",
            f"asked for {start.processes} processes, running {state.num_processes}",
            "set ACCELERATE_USE_CPU=true on CPUs",
        )
    built.model.to(device)
    if resumed:
        # A resumed run goes on as it began: measured anew, it could choose differently.
        choice = tune.Choice(**{**resumed["choice"], "why": "as the run began"})
    else:
        local = -(-recipe.train.batch_size // start.processes)
        settings = recipe.train
        model = built.model.train()
        for module in frozen:
            module.eval()
        choice = tune.choose(
            model,
            recipe.image_size.end,
            local,
            device,
            precision=settings.precision,
            channels_last=settings.channels_last,
            accumulate=settings.accumulate,
            divisible=all(not norm.training for _, norm in finetune.batch_norms(built.model)),
        )
        # All processes do what the first one measured.
        choice = broadcast_object_list([choice])[0]
    built.model.to(memory_format=torch.channels_last if choice.channels_last else torch.contiguous_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accelerator = Accelerator(
            cpu=launch.on_cpu(),
            mixed_precision={"fp32": "no"}.get(choice.precision, choice.precision),
            # Micro-batches are ours: Accelerate would divide the last, partial group by the full count.
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            # Each process keeps its own BatchNorm statistics while training; they are averaged before evaluation.
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
            log_with=list(recipe.output.track) or None,
        )
    return accelerator, choice


def _task(
    recipe: Recipe,
    accelerator: Accelerator,
    built: weights.Built,
    data: Splits,
    way: Preprocessing,
    choice: tune.Choice,
    frozen: list[torch.nn.Module],
) -> Task:
    model = built.model
    averaged = None
    if recipe.train.ema is not None:
        from timm.utils import ModelEmaV3

        averaged = ModelEmaV3(model, decay=recipe.train.ema, use_warmup=True)
    optimizer = optim.build(
        recipe.optim,
        model,
        layer_decay=recipe.finetune.layer_decay,
        head_lr_scale=recipe.finetune.head_lr_scale,
        head=built.head,
    )
    prepared, optimizer = accelerator.prepare(model, optimizer)
    if recipe.train.compile:
        prepared = cast("torch.nn.Module", torch.compile(prepared))

    def batches(split: Split | None) -> Batches | None:
        if split is None:
            return None
        return Batches(split, way, len(data.classes), accelerator.device, channels_last=choice.channels_last)

    train = batches(data.train)
    assert train is not None
    return Task(
        recipe=recipe,
        accelerator=accelerator,
        model=prepared,
        optimizer=optimizer,
        train=train,
        val=batches(data.val),
        test=batches(data.test),
        class_weights=_class_weights(recipe, data, accelerator.device),
        averaged=averaged,
        frozen=frozen,
        micro_batches=choice.accumulate,
    )


def _class_weights(recipe: Recipe, data: Splits, device: torch.device) -> Tensor | None:
    """One over the class's count, with a mean of 1 over the images."""
    if recipe.train.class_weights == "none":
        return None
    counts = torch.bincount(torch.from_numpy(data.train.targets), minlength=len(data.classes)).clamp(min=1)
    return (len(data.train) / (len(data.classes) * counts)).float().to(device)


def _crop(recipe: Recipe, facts: dict[str, Any]) -> float:
    if not isinstance(recipe.eval.crop, str):
        return recipe.eval.crop
    return facts["crop_pct"] if recipe.augment.crop.kind == "random_resized" else 1.0


def _backbone_text(recipe: Recipe, built: weights.Built, folded: int) -> str:
    parameters = list(built.model.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    share = "all" if trained == count else f"{trained / 1e6:.2f} M"
    text = f"{recipe.backbone.name}, {count / 1e6:.2f} M parameters, {share} trained"
    if folded:
        text += f", {folded} frozen BatchNorm folded into convolutions while training"
    return text


def _schedule_text(task: Task) -> str:
    recipe = task.recipe
    size = recipe.image_size
    pixels = f"{size.end} px" if size.start == size.end else f"{size.start} to {size.end} px"
    return (
        f"{recipe.train.epochs} epochs of {task.steps_per_epoch} steps of {recipe.train.batch_size} images at {pixels}, "
        f"{recipe.optim.name}, {recipe.schedule.kind}, peak lr {recipe.optim.lr:g}"
    )


def _probe(job: Job) -> None:
    """Start the head from a fit on frozen features; its time counts as training time."""
    started = time.perf_counter()
    task = job.task
    reached = probe.start_head(task.accelerator, job.built.model, task.train, job.recipe.image_size.end, evaluation_batch(task))
    if task.averaged is not None:
        task.averaged.set(job.built.model)
    job.probe_seconds = time.perf_counter() - started
    job.console.fact("probe", f"head fitted on frozen features: {reached:.2%} of the training images, {job.probe_seconds:.0f} s")


def _check_space(job: Job, place: Path) -> None:
    """See that the checkpoints of a run will find room.

    Raises:
        StorageError: they will not.
    """
    output = job.recipe.output
    # The weights, two moments of each, perhaps an average; one more checkpoint than is kept while it is written.
    copies = 3 + (job.task.averaged is not None)
    size = checkpoint.size_of({"model": job.built.model.state_dict()})
    needed, free = size * (1 + copies * (output.keep_last + output.keep_best + 1)), free_bytes(place)
    if needed > free:
        what = f"{place}: the run needs about {needed:,} bytes, {free:,} are free"
        raise StorageError("output.root", what, "free some space or choose another")


def _open_run(job: Job, resume: Path | None) -> Run:
    """Make the run folder, or open the one to go on with; every process gets the same."""
    accelerator, recipe = job.task.accelerator, job.recipe
    path: list[Any] = [None]
    if accelerator.is_main_process:
        _check_space(job, resume or recipe.output.root)
        path = [resume or Run.create(recipe.output.root, str(recipe.name)).path]
    run = Run(Path(broadcast_object_list(path)[0]))
    if accelerator.is_main_process and resume is None:
        run.write("recipe.yaml", dump(recipe))
        run.write_json(
            "environment.json",
            environment(
                device=job.device_name,
                processes=accelerator.num_processes,
                threads=job.threads,
                choice=str(job.choice),
                weights=job.built.source,
            ),
        )
    if recipe.output.track:
        accelerator.project_configuration.set_directories(str(run.path))
        accelerator.init_trackers(str(recipe.name), config=flat(recipe.model_dump(mode="json")))
    return run
