"""Build the optimizer and the batches of a run, and turn its recipe into the plain values that the loop takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from zoo.data import batches
from zoo.data.batches import Batches
from zoo.data.splits import Split, Splits
from zoo.data.views import PASSES
from zoo.errors import ZooError
from zoo.optim.build import build_optimizer
from zoo.recipe.recipe import Recipe
from zoo.section import decided
from zoo.system.device import memory_format
from zoo.training.averaging import WeightAverage
from zoo.training.budget import UNKNOWN_STEPS, Budget, StepPlan
from zoo.training.class_weights import class_weights
from zoo.training.distillation import Distillation, distillation_of
from zoo.training.final_scores import final_passes
from zoo.training.inputs import Inputs, preprocessing_of
from zoo.training.stages import Stages, stages_of
from zoo.training.state import Training, steps_of
from zoo.training.teacher import Teacher
from zoo.training.watch import StepWatch

if TYPE_CHECKING:
    from zoo.training.setup import Execution, TrainableModel

# Steps that batches are gathered ahead when a GPU trains.
AHEAD = 2


def assemble(
    recipe: Recipe,
    inputs: Inputs,
    model: TrainableModel,
    execution: Execution,
    began: float | None = None,
    teacher: Teacher | None = None,
) -> Training:
    """Build the optimizer and the batches, prepare them, and turn the recipe into plain values for the loop."""
    settings, accelerator, bare, head = recipe.train, execution.accelerator, model.built.model, model.cached.head
    data, batch_size = inputs.data, decided(settings.batch_size)
    # Copies the model, so this comes before the accelerator prepares it.
    averaged = WeightAverage(bare, settings.ema) if settings.ema is not None else None
    distillation = distillation_of(recipe, bare, teacher, memory_format(execution.choice.channels_last), accelerator.device)
    # With cached features, which `use_features` adds later, only the head is trained.
    trained = head or (distillation and distillation.projected) or bare
    prepared, optimizer = _prepared(recipe, execution, trained, _optimizer(recipe, model, distillation))
    per_epoch = steps_of(len(data.train), batch_size)
    plan = StepPlan.of(UNKNOWN_STEPS if settings.max_minutes is not None else per_epoch * decided(settings.epochs))
    stages = _stages(recipe, model, execution, trained, plan, per_epoch)
    return Training(
        accelerator=accelerator,
        model=prepared,
        bare_model=bare,
        optimizer=optimizer,
        watch=StepWatch(accelerator, optimizer),
        train=_batches(data.train, inputs, execution),
        val=_batches(data.val, inputs, execution) if data.val else None,
        test=_batches(data.test, inputs, execution) if data.test else None,
        plan=plan,
        batch_size=batch_size,
        lr_at=stages.lr_at if stages is not None else _rates(recipe, plan, per_epoch),
        size_at=lambda step: recipe.image_size.at(plan.place(step), plan.steps),
        eval_size=decided(recipe.image_size.end),
        class_weights=class_weights(settings.class_weights, data, accelerator.device),
        averaged=averaged,
        distillation=distillation,
        frozen=model.frozen,
        micro_batches=execution.choice.accumulate,
        budget=None if settings.max_minutes is None else _budget(recipe, plan, data, per_epoch, began, features=head is not None),
        ahead=0 if accelerator.device.type == "cpu" else AHEAD,
        head=head,
        stages=stages,
        **_as_the_recipe_says(recipe),
    )


def _as_the_recipe_says(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's options that the loop uses unchanged, under the field names of `Training`."""
    train, evaluation = recipe.train, recipe.eval
    return {
        "seed": train.seed,
        "augment": recipe.augment,
        "sampler": recipe.data.sampler,
        "label_smoothing": train.label_smoothing,
        "loss": train.loss,
        "clip_grad": train.clip_grad,
        "patience": train.patience,
        "eval_every": evaluation.every_epochs,
        "test_every_epoch": evaluation.test_every_epoch,
        "tta": evaluation.tta,
        "select_by": evaluation.select_by,
    }


def _optimizer(recipe: Recipe, model: TrainableModel, distillation: Distillation | None) -> Optimizer:
    """Build the optimizer over all trained parameters, including a projection to the teacher's features if there is one."""
    finetune = recipe.finetune
    return build_optimizer(
        recipe.optim,
        model.built.model,
        layer_decay=finetune.layer_decay,
        head_lr_scale=finetune.head_lr_scale,
        head=model.built.head,
        more=distillation.groups(recipe.optim.weight_decay, finetune.head_lr_scale) if distillation is not None else (),
    )


def _prepared(recipe: Recipe, execution: Execution, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Any]:
    """Prepare a model and its optimizer with Accelerate, and compile the model if the recipe asks for it."""
    prepared, optimizer = execution.accelerator.prepare(model, optimizer)
    if recipe.train.compile:
        prepared = _compiled(prepared, recipe.train.compile, execution.choice.accumulate)
    return prepared, optimizer


def _prepared_again(recipe: Recipe, execution: Execution, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Any]:
    """Prepare a model again after its trained parameters changed, so that DistributedDataParallel sends only their gradients."""
    # Otherwise the old wrapper would stay alive, with the memory of its gradients.
    execution.accelerator.free_memory()
    return _prepared(recipe, execution, model, optimizer)


def _stages(
    recipe: Recipe, model: TrainableModel, execution: Execution, trained: nn.Module, plan: StepPlan, per_epoch: int
) -> Stages | None:
    """Return the stages of a run, or None without any; several processes prepare the model again at the start of each."""
    stages = stages_of(recipe, model.built, plan, per_epoch)
    if stages is not None and execution.accelerator.num_processes > 1:
        stages.prepare = lambda optimizer: _prepared_again(recipe, execution, trained, optimizer)
    return stages


def _rates(recipe: Recipe, plan: StepPlan, per_epoch: int) -> Callable[[int], float]:
    """Return the function from a step to its learning rate, for a run without stages."""
    return lambda step: recipe.optim.lr * recipe.schedule.lr_at(plan.place(step), plan.steps, per_epoch)


def _compiled(model: nn.Module, asked: bool | str, micro_batches: int) -> nn.Module:
    """Compile a model in a mode of `torch.compile`; true means the default mode.

    Raises:
        ZooError: the mode records a step as one graph, but a step has several micro-batches.
    """
    mode = asked if isinstance(asked, str) else None
    if mode not in (None, "default") and micro_batches > 1:
        what = f"{mode} records a step as one graph, but a step has {micro_batches} micro-batches"
        raise ZooError("train.compile", what, "set train.compile=true, or a batch size that needs no micro-batches")
    return cast("nn.Module", torch.compile(model, mode=mode))


def _budget(recipe: Recipe, plan: StepPlan, data: Splits, per_epoch: int, began: float | None, *, features: bool) -> Budget:
    """Return the time budget of a run, counted from `began` (None: now); `features` tells whether features are cached."""
    val, test = (len(split) if split is not None else 0 for split in (data.val, data.test))
    passes = final_passes(recipe, val * len(data.classes), features=features)
    return Budget(
        seconds=60 * (recipe.train.max_minutes or 0.0),
        began=time.perf_counter() if began is None else began,
        plan=plan,
        steps_per_epoch=per_epoch,
        evaluates_every=per_epoch * recipe.eval.every_epochs,
        batch_size=decided(recipe.train.batch_size),
        evaluated=(val + test * recipe.eval.test_every_epoch, val * passes + test),
        sides=lambda share: recipe.image_size.at(share * UNKNOWN_STEPS, UNKNOWN_STEPS),
        views=PASSES[recipe.eval.tta],
    )


def _batches(split: Split, inputs: Inputs, execution: Execution) -> Batches:
    """Make the batches of a split on the device; a pixel store that is already there is not copied again."""
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
