"""Set up a run in four stages, each a plain value: inputs, model, execution, and the `Training` that the loop takes.

Code that needs less, such as an evaluation or a comparison, uses only the first stages. Only caches are written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from zoo.data import batches
from zoo.errors import ZooError
from zoo.models.build import BuiltModel, build_model
from zoo.models.fast_conv import use_fast_convs
from zoo.models.finetune import freeze
from zoo.models.fold_batchnorm import fold_batchnorm
from zoo.models.head import check_division
from zoo.models.layers import batch_norms
from zoo.models.lora import add_lora
from zoo.models.sizes import check_sizes, example_images
from zoo.recipe.recipe import Recipe
from zoo.section import decided
from zoo.system import launch
from zoo.system.console import Console
from zoo.system.device import device_name, memory_format, set_kernels
from zoo.system.launch import Launch
from zoo.system.threads import keep_freed_memory, set_threads
from zoo.training import autotune, processes
from zoo.training.accelerator import make_accelerator, silence_harmless_warnings
from zoo.training.assemble import assemble
from zoo.training.cached_features import Caching, caching, known_choice, micro_batches
from zoo.training.checks import check_norms
from zoo.training.describe import describe_execution, describe_measuring, describe_model, describe_teacher
from zoo.training.inputs import Inputs, load_inputs
from zoo.training.parameter_table import describe_parameters, parts_of
from zoo.training.state import Training
from zoo.training.teacher import Teacher, load_teacher


@dataclass(frozen=True)
class TrainableModel:
    """A model with the parts frozen that the recipe names.

    Attributes:
        built: the model, its head and where its weights came from.
        frozen: BatchNorm layers that stay in evaluation mode.
        folded: how many of them are folded into convolutions while training.
        cached: whether only the head trains, on features that are computed once.
    """

    built: BuiltModel
    frozen: list[nn.Module]
    folded: int
    cached: Caching


@dataclass(frozen=True)
class Execution:
    """The way in which the model runs on this machine.

    Attributes:
        accelerator: the processes and the precision.
        choice: precision, memory layout and micro-batches, and why.
        resident: the training images on a GPU, uint8 [N, 3, S, S], None if they stay in the pixel store.
    """

    accelerator: Accelerator
    choice: autotune.Choice
    resident: Tensor | None


@dataclass
class Setup:
    """A run that is ready to train: the values of all stages, and facts to report.

    Attributes:
        probe_seconds, feature_seconds: time of the probe and of computing features, which count as training time.
        whole: the run with its whole model and its images, if `training` has only the head and features.
    """

    recipe: Recipe
    inputs: Inputs
    model: TrainableModel
    execution: Execution
    training: Training
    threads: int
    console: Console
    device_name: str
    probe_seconds: float = 0.0
    feature_seconds: float = 0.0
    whole: Training | None = None

    @property
    def scored(self) -> Training:
        """The run with its whole model and its images, as it is scored at the end."""
        return self.whole or self.training

    @property
    def bare_model(self) -> nn.Module:
        """The whole model, without the accelerator's wrappers."""
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
    """Load the data, build and prepare the model, and print the facts of the run.

    Args:
        recipe: the recipe of the run.
        start: the rank of this process and the number of processes.
        console: where to print.
        resumed: the plain values of the checkpoint that the run resumes from.
        inputs: the first stage, if it is done already.
        quick: measure what is fastest only briefly.
        began: `time.perf_counter()` from which the time of a run is counted; None: now.
        reasons: what was chosen where the recipe left it open, and why, to print.

    Raises:
        ZooError: bad input; only caches were written.
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
    """Build the model with its weights, freeze the parts that the recipe names, and speed up layers that are slow on a CPU.

    Args:
        recipe: the recipe of the run.
        inputs: the first stage.
        processes: number of processes that train together.
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
    if recipe.finetune.lora is not None:
        # Before anything else changes the layers: folding takes the updates into account.
        add_lora(recipe.finetune.lora, built.model, example_images(end), recipe.train.seed)
    frozen = freeze(recipe.finetune, built.model, built.head)
    check_norms(recipe, inputs.data, processes, built.model, frozen)
    check_sizes(name, built.model, size.sizes(), trim=trim)
    if recipe.eval.temperature == "fit":
        check_division(name, built.model, end)
    if launch.on_cpu():
        use_fast_convs(built.model)
    # On a GPU, folding does not pay: cuDNN adds the bias of a folded convolution in a separate kernel.
    folded = fold_batchnorm(built.model, frozen, example_images(end)) if frozen and launch.on_cpu() else 0
    return TrainableModel(built, frozen, folded, caching(recipe, built.model, frozen))


def _teacher(
    recipe: Recipe, inputs: Inputs, model: TrainableModel, start: Launch, resumed: dict[str, Any] | None
) -> Teacher | None:
    """Load the teacher onto the device, before measuring what else fits there; check that all processes have the same one.

    Raises:
        ZooError: it cannot be loaded or does not fit the student; raised on all.
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
    """Connect to the other processes, choose precision, layout and micro-batches on the device, and start Accelerate.

    Args:
        recipe: the recipe of the run.
        inputs: the first stage.
        model: the second stage; moved to the device.
        start: the rank of this process and the number of processes.
        resumed: the plain values of the checkpoint that the run resumes from.
        announce: called before candidates are timed.
        quick: time them only briefly.

    Raises:
        ZooError: the processes do not find each other, or not even one image fits into memory.
    """
    device = processes.meet(start, recipe.train.timeout)
    set_kernels(device, deterministic=recipe.train.deterministic)
    bare = model.built.model.to(device)
    # Before micro-batches are chosen, which depends on the memory left.
    resident = batches.resident(inputs.data.train.pixels, device)
    # A resumed run keeps its first choice: measuring again could choose differently.
    if resumed:
        choice = _as_it_began(recipe, resumed, start)
    else:
        known = known_choice(recipe, inputs, model, start, device) if model.cached.head is not None else None
        choice = known or _choose(recipe, model, start, device, announce, quick)
    bare.to(memory_format=memory_format(choice.channels_last))
    return Execution(make_accelerator(choice.precision), choice, resident)


def _choose(
    recipe: Recipe, model: TrainableModel, start: Launch, device: torch.device, announce: Callable[[], None], quick: bool
) -> autotune.Choice:
    """Return the choice for options that are `auto`; all processes use what the first one measured."""
    settings, bare = recipe.train, model.built.model.train()
    batch = -(-decided(settings.batch_size) // start.processes)
    if model.cached.head is not None:
        settings = settings.model_copy(update={"accumulate": micro_batches(settings, batch, device)})
    for module in model.frozen:
        module.eval()
    choice = processes.everywhere(
        start,
        lambda: autotune.choose(
            bare,
            decided(recipe.image_size.end),
            batch,
            device,
            settings,
            divisible=all(not norm.training for _, norm in batch_norms(bare)),
            processes=start.processes,
            quick=quick,
            announce=announce,
        ),
    )
    if device.type != "cpu":
        # As many micro-batches as the fullest GPU needs.
        choice = replace(choice, accumulate=max(gather_object([choice.accumulate])))
    return broadcast_object_list([choice])[0]


def _as_it_began(recipe: Recipe, resumed: dict[str, Any], start: Launch) -> autotune.Choice:
    """Return the choice that a run began with, except for options that the recipe sets; fewer processes take more micro-batches.

    Raises:
        ZooError: the run began with fp16 on a GPU, and there is no GPU.
    """
    train, began = recipe.train, dict(resumed["choice"])
    asked = {"precision": train.precision, "channels_last": train.channels_last, "accumulate": train.accumulate}
    named = {key: value for key, value in asked.items() if value != "auto"}
    if train.accumulate == resumed.get("asked_accumulate") and named.get("accumulate", math.inf) < began["accumulate"]:
        # With as few micro-batches as the recipe asks for, memory ran out, and would run out again.
        del named["accumulate"]
    began["accumulate"] = -(-began["accumulate"] * resumed["began"]["processes"] // start.processes)
    choice = autotune.Choice(**{**began, **named}, why="as the run began")
    if choice.precision == "fp16" and launch.on_cpu():
        raise ZooError("--resume", "the run began with fp16, which needs a GPU", "add train.precision=fp32 --allow-change")
    return choice
