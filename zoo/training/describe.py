"""Print the facts of a run, in the lines before its first epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.data.views import ABOUT, PASSES
from zoo.system.console import Console, plural
from zoo.system.device import apple_gpu
from zoo.system.table import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zoo.recipe.recipe import Recipe
    from zoo.training.inputs import Inputs
    from zoo.training.setup import Setup, TrainableModel
    from zoo.training.teacher import Teacher


def describe_measuring(console: Console) -> None:
    """Say that the start takes a while: candidates are timed, which takes longer on a busy machine."""
    console.fact("measuring", "which precision, memory layout and micro-batches are fastest here")


def describe_model(recipe: Recipe, inputs: Inputs, model: TrainableModel, console: Console, reasons: Sequence[str] = ()) -> None:
    """Print the facts of the first two stages, before anything is measured.

    Args:
        recipe: the recipe of the run.
        inputs: the first stage of the set-up.
        model: the second stage.
        console: where to print.
        reasons: what was chosen where the recipe left it open, and why, one line each.
    """
    data, built = inputs.data, model.built
    console.fact("backbone", _backbone(recipe.backbone.name, model))
    console.fact("weights", f"{built.source}: {built.load_summary}")
    if model.cached.why_not:
        console.fact("features", model.cached.why_not)
    if recipe.backbone.weights.kind == "random" and recipe.finetune.batch_norm == "frozen" and model.frozen:
        console.warn("BatchNorm is frozen at random weights' mean 0 and variance 1; finetune.batch_norm=train lets it learn")
    console.fact("data", f"{recipe.data.kind}: {data}")
    for note in data.notes:
        console.fact("", note)
    console.facts("chosen", reasons)


def describe_teacher(teacher: Teacher, console: Console) -> None:
    """Print the facts of the teacher."""
    scored = "" if teacher.accuracy is None else f", {percent(teacher.accuracy, 1)} on val"
    console.fact("teacher", f"{teacher.path}: {teacher.name}, {teacher.parameters / 1e6:.1f} M parameters{scored}")
    for note in teacher.notes:
        console.fact("", note)


def describe_execution(setup: Setup) -> None:
    """Print the facts of a run that is ready to train."""
    console = setup.console
    console.fact("device", _device(setup))
    if setup.recipe.train.device == "auto" and apple_gpu():
        console.fact("", "not on Apple's GPU: a run keeps its sums in float64, which it lacks")
    console.fact("precision", str(setup.execution.choice))
    console.fact("schedule", _schedule(setup))
    if (tta := setup.recipe.eval.tta) != "none":
        console.fact("views", f"{ABOUT[tta]} in each evaluation, which takes {PASSES[tta]} times as long")
        if tta == "hflip" and not setup.recipe.augment.hflip:
            console.warn("eval.tta hflip shows mirrored images, and training does not (augment.hflip is false)")
    stages = setup.training.stages
    if stages is not None:
        console.facts("stages", map(stages.text, range(len(stages.parts))))


def _backbone(name: str, model: TrainableModel) -> str:
    parameters = list(model.built.model.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    share = "all" if trained == count else f"{trained / 1e6:.2f} M"
    text = f"{name}, {count / 1e6:.2f} M parameters, {share} trained"
    if model.folded:
        text += f", {model.folded} frozen BatchNorm folded into convolutions while training"
    return text


def _device(setup: Setup) -> str:
    processes = setup.training.accelerator.num_processes
    each = " each" if processes > 1 else ""
    return f"{setup.device_name}, {plural(processes, 'process', 'processes')}, {plural(setup.threads, 'thread')}{each}"


def _schedule(setup: Setup) -> str:
    recipe, size = setup.recipe, setup.recipe.image_size
    pixels = f"{size.end} px" if size.start == size.end else f"{size.start} to {size.end} px"
    steps = f"{plural(setup.training.steps_per_epoch, 'step')} of {plural(setup.training.batch_size, 'image')}"
    minutes = recipe.train.max_minutes
    length = plural(setup.training.epochs, "epoch") if minutes is None else f"{minutes:g} min in all: epochs"
    kind = recipe.schedule.kind if setup.training.stages is None else f"{recipe.schedule.kind} in each stage"
    return f"{length} of {steps} at {pixels}, {recipe.optim.name}, {kind}, peak lr {recipe.optim.lr:g}"
