"""Set up a run in four stages, each a plain value: inputs, model, execution, and the `Training` that the loop takes.

Whoever needs less, such as an evaluation or a comparison, takes the first stages alone. Nothing is written but caches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from zoo.data import batches
from zoo.data.batches import Batches
from zoo.data.splits import Split, Splits
from zoo.data.views import PASSES
from zoo.errors import ZooError
from zoo.models.build import BuiltModel, build_model
from zoo.models.fast_conv import use_fast_convs
from zoo.models.finetune import freeze
from zoo.models.fold_batchnorm import fold_batchnorm
from zoo.models.head import check_division
from zoo.models.layers import batch_norms
from zoo.models.sizes import check_sizes, example_images
from zoo.optim.build import build_optimizer
from zoo.recipe.recipe import Recipe
from zoo.section import decided
from zoo.system import launch
from zoo.system.console import Console
from zoo.system.device import device_name, memory_format, set_kernels
from zoo.system.launch import Launch
from zoo.system.threads import keep_freed_memory, set_threads
from zoo.training import autotune, processes
from zoo.training.accelerator import make_accelerator, silence_harmless_warnings
from zoo.training.averaging import WeightAverage
from zoo.training.budget import UNKNOWN_STEPS, Budget, StepPlan
from zoo.training.checks import check_norms
from zoo.training.class_weights import class_weights
from zoo.training.describe import describe_execution, describe_measuring, describe_model, describe_teacher
from zoo.training.distillation import Distillation, distillation_of
from zoo.training.inputs import Inputs, load_inputs, preprocessing_of
from zoo.training.parameter_table import describe_parameters, parts_of
from zoo.training.soup import validations
from zoo.training.state import Training, steps_of
from zoo.training.teacher import Teacher, load_teacher
from zoo.training.watch import StepWatch

# Steps that batches are gathered ahead where a GPU trains.
AHEAD = 2


@dataclass(frozen=True)
class TrainableModel:
    """A model with the recipe's part of it frozen.

    Attributes:
        built: the model, its head and where its weights came from.
        frozen: BatchNorm layers that stay in evaluation mode.
        folded: how many of them are folded into convolutions while training.
    """

    built: BuiltModel
    frozen: list[nn.Module]
    folded: int


@dataclass(frozen=True)
class Execution:
    """The way in which the model runs here.

    Attributes:
        accelerator: the processes and the precision.
        choice: precision, memory layout and micro-batches, and why.
        resident: the training images on a GPU, uint8 [N, 3, S, S], None where they stay in the pixel store.
    """

    accelerator: Accelerator
    choice: autotune.Choice
    resident: Tensor | None


@dataclass
class Setup:
    """A run that is ready to train: the values of all stages, and what is reported of them."""

    recipe: Recipe
    inputs: Inputs
    model: TrainableModel
    execution: Execution
    training: Training
    threads: int
    console: Console
    device_name: str
    probe_seconds: float = 0.0

    @property
    def bare_model(self) -> nn.Module:
        """The model that trains, without what the accelerator wraps around it."""
        return self.model.built.model


def set_up(
    recipe: Recipe,
    start: Launch,
    console: Console,
    resumed: dict[str, Any] | None = None,
    *,
    inputs: Inputs | None = None,
    quick: bool = False,
    began: float | None = None,
    reasons: Sequence[str] = (),
) -> Setup:
    """Load the data, build and prepare the model, and report what came of it.

    Args:
        recipe: what to do.
        start: this process among its siblings.
        console: where to report.
        resumed: the plain values of the checkpoint that the run resumes from.
        inputs: the first stage, where it was done before.
        quick: measure what is fastest only briefly.
        began: `time.perf_counter()` from which the time of a run is counted; None: now.
        reasons: what the recipe left open and why it was chosen so, to report.

    Raises:
        ZooError: bad input. Nothing was written but caches.
    """
    threads = set_threads(recipe.train.threads, start)
    keep_freed_memory()
    silence_harmless_warnings()
    processes.meet(start, recipe.train.timeout)
    inputs = inputs or processes.in_turns(start, lambda: load_inputs(recipe, start.processes, resumed))
    processes.check_same_data(start, inputs.data)
    model = processes.everywhere(start, lambda: build_trainable(recipe, inputs, start.processes, trim=resumed is not None))
    describe_model(recipe, inputs, model, console, reasons)
    teacher = _teacher(recipe, inputs, model, start, resumed)
    if teacher is not None:
        describe_teacher(teacher, console)
    execution = choose_execution(recipe, inputs, model, start, resumed, lambda: describe_measuring(console), quick=quick)
    training = assemble(recipe, inputs, model, execution, began, teacher)
    name = device_name(execution.accelerator.device)
    setup = Setup(recipe, inputs, model, execution, training, threads, console, name)
    describe_execution(setup)
    describe_parameters(parts_of(setup.bare_model, model.built.head, training.optimizer.param_groups), recipe.optim.lr, console)
    return setup


def build_trainable(recipe: Recipe, inputs: Inputs, processes: int = 1, *, trim: bool = False) -> TrainableModel:
    """Build the model with its weights, freeze what the recipe says, and speed up what a CPU is slow at.

    Args:
        recipe: what to do.
        inputs: the first stage.
        processes: how many train together.
        trim: allow image sizes that the backbone trims, as in runs that began before this was checked.

    Raises:
        ZooError: the weights or the image size do not fit the backbone.
    """
    name, size = recipe.backbone.name, recipe.image_size
    torch.manual_seed(recipe.train.seed)
    end = decided(size.end)
    classes = len(inputs.data.classes)
    start = recipe.train.loss.start(classes)
    built = build_model(recipe.backbone, inputs.found, classes, end, grows=size.start != end, start=start)
    frozen = freeze(recipe.finetune, built.model, built.head)
    check_norms(recipe, inputs.data, processes, built.model, frozen)
    check_sizes(name, built.model, size.sizes(), trim=trim)
    if recipe.eval.temperature == "fit":
        check_division(name, built.model, end)
    if launch.on_cpu():
        use_fast_convs(built.model)
    # On a GPU it does not pay: cuDNN adds the bias of a folded convolution in a kernel of its own.
    folded = fold_batchnorm(built.model, frozen, example_images(end)) if frozen and launch.on_cpu() else 0
    return TrainableModel(built, frozen, folded)


def _teacher(
    recipe: Recipe, inputs: Inputs, model: TrainableModel, start: Launch, resumed: dict[str, Any] | None
) -> Teacher | None:
    """Return the teacher, on the device before it is measured what else fits there; the same one on all processes.

    Raises:
        ZooError: it cannot be had or does not fit, on all.
    """
    device = processes.meet(start, recipe.train.timeout)
    classes, facts = inputs.data.classes, inputs.preprocessing
    found = processes.everywhere(start, lambda: load_teacher(recipe, model.built.model, classes, facts, device, resumed))
    if found is not None:
        processes.check_alike(start, {"teacher": found.digest}, "at the start")
    return found


def choose_execution(
    recipe: Recipe,
    inputs: Inputs,
    model: TrainableModel,
    start: Launch,
    resumed: dict[str, Any] | None = None,
    announce: Callable[[], None] = lambda: None,
    *,
    quick: bool = False,
) -> Execution:
    """Meet the other processes, choose precision, layout and micro-batches on the device, and start Accelerate.

    Args:
        recipe: what to do.
        inputs: the first stage.
        model: the second stage; moved to the device.
        start: this process among its siblings.
        resumed: the plain values of the checkpoint that the run resumes from.
        announce: called before candidates are timed.
        quick: time them only briefly.

    Raises:
        ZooError: the processes do not find each other, or not even one image fits into memory.
    """
    device = processes.meet(start, recipe.train.timeout)
    set_kernels(device, deterministic=recipe.train.deterministic)
    bare = model.built.model.to(device)
    # Before micro-batches are chosen by what memory is left.
    resident = batches.resident(inputs.data.train.pixels, device)
    # A resumed run keeps its first choice: measured anew, it could choose differently.
    choice = _as_it_began(recipe, resumed, start) if resumed else _choose(recipe, model, start, device, announce, quick)
    bare.to(memory_format=memory_format(choice.channels_last))
    return Execution(make_accelerator(choice.precision), choice, resident)


def _choose(
    recipe: Recipe, model: TrainableModel, start: Launch, device: torch.device, announce: Callable[[], None], quick: bool
) -> autotune.Choice:
    """Return what `auto` chooses; all processes do what the first one measured."""
    settings, bare = recipe.train, model.built.model.train()
    for module in model.frozen:
        module.eval()
    choice = processes.everywhere(
        start,
        lambda: autotune.choose(
            bare,
            decided(recipe.image_size.end),
            -(-decided(settings.batch_size) // start.processes),
            device,
            settings,
            divisible=all(not norm.training for _, norm in batch_norms(bare)),
            processes=start.processes,
            quick=quick,
            announce=announce,
        ),
    )
    if device.type != "cpu":
        # What fits into the fullest GPU.
        choice = replace(choice, accumulate=max(gather_object([choice.accumulate])))
    return broadcast_object_list([choice])[0]


def _as_it_began(recipe: Recipe, resumed: dict[str, Any], start: Launch) -> autotune.Choice:
    """Return a run's first choice, but for what the recipe says itself; fewer processes have more micro-batches each.

    Raises:
        ZooError: it began with fp16 on a GPU, and there is none.
    """
    train, began = recipe.train, dict(resumed["choice"])
    asked = {"precision": train.precision, "channels_last": train.channels_last, "accumulate": train.accumulate}
    named = {key: value for key, value in asked.items() if value != "auto"}
    if train.accumulate == resumed.get("asked_accumulate") and named.get("accumulate", math.inf) < began["accumulate"]:
        # Memory ran out at as few as the recipe asks for, and would again.
        del named["accumulate"]
    began["accumulate"] = -(-began["accumulate"] * resumed["began"]["processes"] // start.processes)
    choice = autotune.Choice(**{**began, **named}, why="as the run began")
    if choice.precision == "fp16" and launch.on_cpu():
        raise ZooError("--resume", "the run began with fp16, which needs a GPU", "train.precision=fp32 --allow-change")
    return choice


def assemble(
    recipe: Recipe,
    inputs: Inputs,
    model: TrainableModel,
    execution: Execution,
    began: float | None = None,
    teacher: Teacher | None = None,
) -> Training:
    """Build the optimizer and the batches, prepare them, and turn the recipe into the loop's plain values."""
    settings, accelerator, bare = recipe.train, execution.accelerator, model.built.model
    data, batch_size = inputs.data, decided(settings.batch_size)
    averaged = WeightAverage(bare, settings.ema) if settings.ema is not None else None
    distillation = distillation_of(recipe, bare, teacher, memory_format(execution.choice.channels_last), accelerator.device)
    prepared, optimizer = _prepared(recipe, model, distillation, execution)
    train = _batches(data.train, inputs, execution)
    val, test = (_batches(split, inputs, execution) if split else None for split in (data.val, data.test))
    per_epoch = steps_of(len(train), batch_size)
    plan = StepPlan.of(UNKNOWN_STEPS if settings.max_minutes is not None else per_epoch * decided(settings.epochs))
    return Training(
        accelerator=accelerator,
        model=prepared,
        bare_model=bare,
        optimizer=optimizer,
        watch=StepWatch(accelerator, optimizer),
        train=train,
        val=val,
        test=test,
        plan=plan,
        batch_size=batch_size,
        seed=settings.seed,
        lr_at=lambda step: recipe.optim.lr * recipe.schedule.lr_at(plan.place(step), plan.steps, per_epoch),
        size_at=lambda step: recipe.image_size.at(plan.place(step), plan.steps),
        eval_size=decided(recipe.image_size.end),
        augment=recipe.augment,
        label_smoothing=settings.label_smoothing,
        class_weights=class_weights(settings.class_weights, data, accelerator.device),
        loss=settings.loss,
        clip_grad=settings.clip_grad,
        eval_every=recipe.eval.every_epochs,
        test_every_epoch=recipe.eval.test_every_epoch,
        tta=recipe.eval.tta,
        select_by=recipe.eval.select_by,
        patience=settings.patience,
        averaged=averaged,
        distillation=distillation,
        frozen=model.frozen,
        sampler=recipe.data.sampler,
        micro_batches=execution.choice.accumulate,
        budget=_budget(recipe, plan, data, per_epoch, began) if settings.max_minutes is not None else None,
        ahead=0 if accelerator.device.type == "cpu" else AHEAD,
    )


def _prepared(
    recipe: Recipe, model: TrainableModel, distillation: Distillation | None, execution: Execution
) -> tuple[nn.Module, Any]:
    """Build the optimizer; return what is trained and the optimizer as the accelerator prepares them, compiled where asked."""
    settings, bare = recipe.finetune, model.built.model
    optimizer = build_optimizer(
        recipe.optim,
        bare,
        layer_decay=settings.layer_decay,
        head_lr_scale=settings.head_lr_scale,
        head=model.built.head,
        more=distillation.groups(recipe.optim.weight_decay, settings.head_lr_scale) if distillation is not None else (),
    )
    learner = (distillation and distillation.projected) or bare
    prepared, optimizer = execution.accelerator.prepare(learner, optimizer)
    if recipe.train.compile:
        prepared = _compiled(prepared, recipe.train.compile, execution.choice.accumulate)
    return prepared, optimizer


def _compiled(model: nn.Module, asked: bool | str, micro_batches: int) -> nn.Module:
    """Return a model compiled in a mode of `torch.compile`; true stands for its default.

    Raises:
        ZooError: the mode records a step as one graph, and a step is of several micro-batches.
    """
    mode = asked if isinstance(asked, str) else None
    if mode not in (None, "default") and micro_batches > 1:
        what = f"{mode} records a step as one graph, and this one is of {micro_batches} micro-batches"
        raise ZooError("train.compile", what, "set train.compile=true, or take a batch that fits whole")
    return cast("nn.Module", torch.compile(model, mode=mode))


def _budget(recipe: Recipe, plan: StepPlan, data: Splits, per_epoch: int, began: float | None) -> Budget:
    """Return the time of a run; `began` is when it is counted from, None for now."""
    val, test = (len(split) if split is not None else 0 for split in (data.val, data.test))
    # Averages of epochs are tried on val, and a temperature is fitted on it, before it is scored.
    passes = 1 + validations(recipe)
    return Budget(
        seconds=60 * (recipe.train.max_minutes or 0.0),
        began=time.perf_counter() if began is None else began,
        plan=plan,
        steps_per_epoch=per_epoch,
        batch_size=decided(recipe.train.batch_size),
        evaluated=(val, val * passes + test * (1 + recipe.eval.test_every_epoch)),
        sides=lambda share: recipe.image_size.at(share * UNKNOWN_STEPS, UNKNOWN_STEPS),
        views=PASSES[recipe.eval.tta],
    )


def _batches(split: Split, inputs: Inputs, execution: Execution) -> Batches:
    """Make the batches of a split on the device; a store that is there already is not copied again."""
    device = execution.accelerator.device
    same = split.pixels is inputs.data.train.pixels
    return Batches(
        split,
        preprocessing_of(inputs),
        len(inputs.data.classes),
        device,
        channels_last=execution.choice.channels_last,
        resident=execution.resident if same else batches.resident(split.pixels, device),
    )
