"""Score a run on its own images as the run did. On the same machine, the scores and logits are bit-identical.

Everything is set up as for training: the pixel store, the batches, precision, memory layout, threads, folded BatchNorm.
Only the optimizer is not used. Nothing is written into the run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoo.data.views import ABOUT
from zoo.errors import ZooError
from zoo.inference.evaluation import Evaluation
from zoo.inference.labeled_images import no_split
from zoo.models.options import RunWeights
from zoo.recipe.recipe import Recipe
from zoo.recipe.upgrade import run_recipe
from zoo.results.folder import RunFolder, threads_of_run
from zoo.results.predictions import TENSORS
from zoo.results.result import Result, read_result
from zoo.system import launch
from zoo.system.launch import Launch
from zoo.system.progress import show_progress
from zoo.system.threads import set_threads
from zoo.training.accelerator import silence_harmless_warnings
from zoo.training.assemble import assemble
from zoo.training.evaluate import averaged, evaluate_alone, views_of
from zoo.training.inputs import Inputs, load_inputs
from zoo.training.result import test_scores
from zoo.training.setup import build_trainable, choose_execution
from zoo.training.state import Training, eval_batch_size

# An evaluation is a single process, whatever launcher started it.
ALONE = Launch(rank=0, local_rank=0, processes=1, local_processes=1)


def finished(run: Path) -> tuple[Recipe, Result]:
    """Return the recipe and the result of a run.

    Raises:
        ZooError: the run is not finished, or is damaged.
    """
    result = read_result(RunFolder(run))
    if result is None:
        raise ZooError(str(run), "the run is not finished", f"zoo train --resume {run}")
    return run_recipe(run), result


def evaluate_own(
    model: str,
    run: Path,
    split: str = "test",
    tta: str | None = None,
    batch_size: int | None = None,
    *,
    progress: bool = False,
) -> Evaluation:
    """Score a finished run on a split of its own images.

    Args:
        model: as the user wrote it.
        run: the run folder.
        split: train, val or test.
        tta: the views of each image that are averaged; None for the run's own.
        batch_size: images per batch; None for the run's own. Another size may change the bits.
        progress: show progress on standard error.

    Raises:
        ZooError: the run is not finished, its images or its model are not available, or there is no such split.
    """
    recipe, result = finished(run)
    tta = result.tta if tta is None else tta
    silence_harmless_warnings()
    with _threads(run):
        inputs, training = _set_up(_as_it_ran(recipe, result, run), result)
        batches = {"train": training.train, "val": training.val, "test": training.test}[split]
        images = inputs.data.named().get(split)
        if batches is None or images is None:
            raise no_split(split, list(inputs.data.named()))
        size = batch_size or eval_batch_size(result.batch_size, result.processes, result.accumulate)
        with show_progress("evaluating", len(batches), shown=progress) as update:
            training.tta = tta
            how = (training.accelerator, training.model, batches, training.eval_size, size, result.processes)
            outputs, targets = evaluate_alone(*how, views_of(training, batches), update)
    logits = averaged(outputs)
    return Evaluation(
        model=model,
        data=describe_data(recipe),
        split=split,
        tta=tta,
        classes=inputs.data.classes,
        scores=test_scores(inputs.data.classes, logits, targets),
        files=images.names(),
        logits=logits,
        targets=targets,
        notes=(*inputs.data.notes, *_of_views(recipe, result, tta), *_compared(run, split, logits, targets, result.tta == tta)),
    )


def describe_data(recipe: Recipe) -> str:
    """Return a name for the images of a recipe: the root of a folder, else the kind of data set."""
    return str(getattr(recipe.data, "root", "")) if recipe.data.kind == "folder" else recipe.data.kind


def _as_it_ran(recipe: Recipe, result: Result, run: Path) -> Recipe:
    """Return the recipe with the run's choices for `auto`, and with the run's model.

    Raises:
        ZooError: the run used fp16 on a GPU, and this machine has no GPU.
    """
    if result.precision == "fp16" and launch.on_cpu():
        raise ZooError(str(run), "the run was scored with fp16, which needs a GPU", "give its images with --data")
    weights = RunWeights(path=run / "model")
    chosen = {
        "precision": result.precision,
        "channels_last": result.channels_last,
        # Nothing is trained.
        "accumulate": 1,
        # The model folder has the averaged weights, and a run does not compile the model that holds them.
        "ema": None,
        "compile": recipe.train.compile if recipe.train.ema is None else False,
    }
    backbone = recipe.backbone.model_copy(update={"weights": weights})
    # Images are scored, not cached features; low-rank updates are already merged into the weights.
    finetune = recipe.finetune.model_copy(update={"cache_features": False, "lora": None})
    train = recipe.train.model_copy(update=chosen)
    return recipe.model_copy(update={"backbone": backbone, "finetune": finetune, "train": train})


def _set_up(recipe: Recipe, result: Result) -> tuple[Inputs, Training]:
    """Set up the run again, as for training.

    Raises:
        ZooError: the images are not available or have other classes now, or the model does not fit.
    """
    try:
        recipe.data.check()
    except ZooError as error:
        todo = "start zoo eval where the run was started, or give images with --data"
        raise ZooError(error.where, error.what, todo) from None
    inputs = load_inputs(recipe, result.processes)
    if inputs.data.classes != result.classes:
        where, what = "data", f"the classes are now {_some(inputs.data.classes)}; they were {_some(result.classes)}"
        raise ZooError(where, what, "give the images with --data: their classes are matched by name")
    model = build_trainable(recipe, inputs, result.processes, trim=True)
    tensors = inputs.found.tensors if inputs.found else None
    if tensors is not None:
        # timm's filters may have changed these tensors: load them again, bit by bit.
        model.built.model.load_state_dict(dict(tensors))
    execution = choose_execution(recipe, inputs, model, ALONE)
    return inputs, assemble(recipe, inputs, model, execution)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


@contextlib.contextmanager
def _threads(run: Path) -> Iterator[None]:
    """Compute with as many threads as the run did within the block, because sums depend on their number."""
    before = torch.get_num_threads()
    set_threads(threads_of_run(run), ALONE)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _of_views(recipe: Recipe, result: Result, tta: str) -> Iterator[str]:
    """Yield a note if the views differ from those of the run, or if mirroring changes the meaning of its images."""
    if tta != result.tta:
        yield f"the run was scored with {ABOUT[result.tta]}"
    if tta == "hflip" and not recipe.data.mirrors:
        yield f"mirroring changes the meaning of {recipe.data.kind}"


def _compared(run: Path, split: str, logits: Tensor, targets: Tensor, comparable: bool) -> Iterator[str]:
    """Yield a note that compares the logits with those that the run saved, if both are of the same views."""
    if not comparable:
        return
    prefix = {"test": "", "val": "val_"}.get(split)
    try:
        with safe_open(run / TENSORS, "pt") as file:
            if prefix is None or f"{prefix}logits" not in file.keys():  # noqa: SIM118
                return
            kept, labels = file.get_tensor(f"{prefix}logits"), file.get_tensor(f"{prefix}targets")
    except (OSError, SafetensorError):
        return
    if not torch.equal(labels, targets):
        yield "the run was scored on other images"
    elif torch.equal(kept, logits):
        yield "the logits equal the run's saved logits, bit for bit"
    else:
        yield f"the logits differ from the run's saved logits by up to {float((kept - logits).abs().max()):.1g}"
