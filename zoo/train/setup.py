"""What a run is made of: its data, its model on its device, chosen and prepared; checked before anything is written."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import GradientAccumulationPlugin, broadcast_object_list
from torch import Tensor

from zoo.data import batches
from zoo.data.batches import Batches, Preprocessing
from zoo.data.resize import Normalize
from zoo.data.splits import Split, Splits
from zoo.errors import ZooError
from zoo.models.build import BuiltModel, build_model, data_config
from zoo.models.fast_conv import use_fast_convs
from zoo.models.finetune import freeze
from zoo.models.fold_batchnorm import fold_batchnorm
from zoo.models.layers import batch_norms
from zoo.models.sizes import check_sizes, example_images
from zoo.optim.build import build_optimizer
from zoo.recipe.recipe import Recipe
from zoo.system import launch
from zoo.system.console import Console
from zoo.system.launch import Launch
from zoo.system.threads import keep_freed_memory, set_threads
from zoo.train import autotune
from zoo.train.autotune import Choice
from zoo.train.state import Setup, Training


def set_up(recipe: Recipe, start: Launch, console: Console, resumed: dict[str, Any] | None = None) -> Setup:
    """Load the data, build and prepare the model; say what came of it.

    Args:
        recipe: what to do.
        start: this process among its siblings.
        console: where to say it.
        resumed: the plain values of the checkpoint that the run goes on from.

    Raises:
        ZooError: bad input. Nothing was written but caches.
    """
    threads = set_threads(recipe.train.threads, start)
    keep_freed_memory()
    found = recipe.backbone.weights.find(recipe.backbone.name)
    facts = data_config(recipe.backbone.name)
    size = recipe.image_size
    data = recipe.data.load(recipe.train.seed, size.end, facts["interpolation"])
    check_data(recipe, data, start)
    torch.manual_seed(recipe.train.seed)
    built = build_model(recipe.backbone, found, len(data.classes), size.end, grows=size.start != size.end)
    frozen = freeze(recipe.finetune, built.model, built.head)
    _check_norms(recipe, data, start, built.model, frozen)
    check_sizes(recipe.backbone.name, built.model, size.sizes(), trim=resumed is not None)
    if launch.on_cpu():
        use_fast_convs(built.model)
    folded = fold_batchnorm(built.model, frozen, example_images(size.end)) if frozen else 0
    console.fact("backbone", _backbone_text(recipe, built, folded))
    console.fact("weights", f"{built.source}: {built.load_summary}")
    if recipe.backbone.weights.kind == "random" and recipe.finetune.batch_norm == "frozen" and frozen:
        console.warn("BatchNorm is frozen at random weights' mean 0 and variance 1; finetune.batch_norm=train lets it learn")
    console.fact("data", f"{recipe.data.kind}: {data}")
    for note in data.notes:
        console.fact("", note)

    device = _device(recipe, start)
    # Before micro-batches are chosen by what memory is left.
    resident = batches.resident(data.train.pixels, device)
    accelerator, choice = _accelerate(recipe, built, frozen, start, device, resumed)
    preprocessing = facts | {"crop_pct": _crop(recipe, facts)}
    way = Preprocessing(Normalize(facts["mean"], facts["std"]), facts["interpolation"], preprocessing["crop_pct"])
    task = _task(recipe, accelerator, built, data, way, choice, frozen, resident)
    device_name = torch.cuda.get_device_name() if accelerator.device.type == "cuda" else "cpu"
    console.fact(
        "device",
        f"{device_name}, {accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}, {threads} threads each",
    )
    console.fact("precision", str(choice))
    console.fact("schedule", _schedule_text(task))
    return Setup(recipe, task, data, built, preprocessing, choice, threads, console, device_name)


def _as_it_began(recipe: Recipe, resumed: dict[str, Any], start: Launch) -> Choice:
    """What a run began with, but for what the recipe says itself; fewer processes have more micro-batches each.

    Raises:
        ZooError: it began with fp16 on a GPU, and there is none.
    """
    train, began = recipe.train, dict(resumed["choice"])
    began["accumulate"] = -(-began["accumulate"] * resumed["began"]["processes"] // start.processes)
    asked = {"precision": train.precision, "channels_last": train.channels_last, "accumulate": train.accumulate}
    choice = Choice(**{**began, **{key: value for key, value in asked.items() if value != "auto"}}, why="as the run began")
    if choice.precision == "fp16" and launch.on_cpu():
        raise ZooError("--resume", "the run began with fp16, which needs a GPU", "train.precision=fp32 --allow-change")
    return choice


def check_data(recipe: Recipe, data: Splits, start: Launch) -> None:
    """See that the data fits the recipe.

    Raises:
        ZooError: too few images for the batch size or the processes, or no validation images to select by.
    """
    size, count = recipe.train.batch_size, len(data.train)
    if size > count:
        raise ZooError("train.batch_size", f"{size}, but only {count} training images", "lower it")
    micro = _micro_batches(recipe)
    if _smallest_step(recipe, data) < start.processes * micro:
        raise ZooError(
            "train.batch_size", f"{size} is too small for {start.processes} processes x {micro} micro-batches", "raise it"
        )
    if data.val is None and recipe.eval.select_by != "last":
        raise ZooError(
            "eval.select_by",
            f"{recipe.eval.select_by} needs validation images, and there are none",
            "set data.val_fraction, or use last",
        )


def _micro_batches(recipe: Recipe) -> int:
    """Parts of a step on each process that the recipe asks for; what `auto` chooses leaves no part empty."""
    return recipe.train.accumulate if isinstance(recipe.train.accumulate, int) else 1


def _smallest_step(recipe: Recipe, data: Splits) -> int:
    """Images of the smallest step: those of an epoch differ by one."""
    count = len(data.train)
    return count // -(-count // recipe.train.batch_size)


def _check_norms(recipe: Recipe, data: Splits, start: Launch, model: torch.nn.Module, frozen: list[torch.nn.Module]) -> None:
    """See that no part of a step has a single image where BatchNorm trains: that has no statistics.

    Raises:
        ZooError: one would.
    """
    still = {id(module) for module in frozen}
    if all(id(norm) in still for _, norm in batch_norms(model)):
        return
    if _smallest_step(recipe, data) < 2 * start.processes * _micro_batches(recipe):
        todo = "raise it, or set finetune.batch_norm: frozen"
        raise ZooError("train.batch_size", "leaves one image for BatchNorm to average over", todo)


def _device(recipe: Recipe, start: Launch) -> torch.device:
    """Meet the other processes, and find this one's device."""
    from accelerate import PartialState

    state = PartialState(cpu=launch.on_cpu(), **launch.process_group_kwargs(start, recipe.train.timeout))
    device = torch.device(state.device or "cpu")
    if state.num_processes != start.processes:
        raise ZooError(
            "launch",
            f"asked for {start.processes} processes, running {state.num_processes}",
            "set ACCELERATE_USE_CPU=true on CPUs",
        )
    return device


def _accelerate(
    recipe: Recipe,
    built: BuiltModel,
    frozen: Sequence[torch.nn.Module],
    start: Launch,
    device: torch.device,
    resumed: dict[str, Any] | None,
) -> tuple[Accelerator, Choice]:
    """Choose precision and layout on the device, and start Accelerate with them."""
    built.model.to(device)
    if resumed:
        # A resumed run goes on as it began: measured anew, it could choose differently.
        choice = _as_it_began(recipe, resumed, start)
    else:
        local = -(-recipe.train.batch_size // start.processes)
        settings = recipe.train
        model = built.model.train()
        for module in frozen:
            module.eval()
        choice = autotune.choose(
            model,
            recipe.image_size.end,
            local,
            device,
            precision=settings.precision,
            channels_last=settings.channels_last,
            accumulate=settings.accumulate,
            divisible=all(not norm.training for _, norm in batch_norms(built.model)),
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
        )
    return accelerator, choice


def _task(
    recipe: Recipe,
    accelerator: Accelerator,
    built: BuiltModel,
    data: Splits,
    way: Preprocessing,
    choice: Choice,
    frozen: list[torch.nn.Module],
    resident: Tensor | None,
) -> Training:
    model = built.model
    averaged = None
    if recipe.train.ema is not None:
        from timm.utils import ModelEmaV3

        averaged = ModelEmaV3(model, decay=recipe.train.ema, use_warmup=True)
    optimizer = build_optimizer(
        recipe.optim,
        model,
        layer_decay=recipe.finetune.layer_decay,
        head_lr_scale=recipe.finetune.head_lr_scale,
        head=built.head,
    )
    prepared, optimizer = accelerator.prepare(model, optimizer)
    if recipe.train.compile:
        prepared = cast("torch.nn.Module", torch.compile(prepared))

    def made(split: Split | None) -> Batches | None:
        if split is None:
            return None
        device, last = accelerator.device, choice.channels_last
        there = resident if split.pixels is data.train.pixels else batches.resident(split.pixels, device)
        return Batches(split, way, len(data.classes), device, channels_last=last, resident=there)

    train = made(data.train)
    assert train is not None
    return Training(
        recipe=recipe,
        accelerator=accelerator,
        model=prepared,
        optimizer=optimizer,
        train=train,
        val=made(data.val),
        test=made(data.test),
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
    # Above 1 timm shows a black border, and here there is nothing beyond the edge.
    return min(1.0, facts["crop_pct"]) if recipe.augment.crop.kind == "random_resized" else 1.0


def _backbone_text(recipe: Recipe, built: BuiltModel, folded: int) -> str:
    parameters = list(built.model.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    share = "all" if trained == count else f"{trained / 1e6:.2f} M"
    text = f"{recipe.backbone.name}, {count / 1e6:.2f} M parameters, {share} trained"
    if folded:
        text += f", {folded} frozen BatchNorm folded into convolutions while training"
    return text


def _schedule_text(task: Training) -> str:
    recipe = task.recipe
    size = recipe.image_size
    pixels = f"{size.end} px" if size.start == size.end else f"{size.start} to {size.end} px"
    return (
        f"{recipe.train.epochs} epochs of {task.steps_per_epoch} steps of {recipe.train.batch_size} images at {pixels}, "
        f"{recipe.optim.name}, {recipe.schedule.kind}, peak lr {recipe.optim.lr:g}"
    )
