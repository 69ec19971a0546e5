"""A recipe: every option of a run, and the rules across its sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from zoo.data.augment import Augment
from zoo.data.options import Data
from zoo.models.finetune import Finetune
from zoo.models.options import Backbone
from zoo.optim.options import Optim
from zoo.optim.schedules import OneCycle, Schedule
from zoo.recipe.distill import Distill
from zoo.recipe.sections import Eval, ImageSize, Output, Train, image_size_mapping
from zoo.recipe.stages import stage_rules
from zoo.recipe.varied import needs_images, varied
from zoo.section import AUTO, Section, Shorthand

# JSON schema for the short forms of `image_size`.
SIDE = {"anyOf": [{"type": "integer", "minimum": 8, "maximum": 2048}, {"const": "auto"}]}

# The key of a file that names another recipe to take options from.
BASE = "base"


class Recipe(Section):
    """Every option of a run: `zoo recipe RECIPE` prints them all."""

    file_keys: ClassVar[tuple[str, ...]] = (BASE,)
    name: str | None = Field(
        default=None, examples=["my-run"], description="Name of the run folder. null: the recipe's file name."
    )
    backbone: Backbone = Field(description="The network and its weights.")
    data: Data = Field(description="The images.")
    image_size: Annotated[ImageSize, Shorthand(image_size_mapping, SIDE, "a whole number, auto or {start, end}")] = Field(
        default=ImageSize(), examples=[224], description="Side of the images in pixels, or {start, end}."
    )
    augment: Augment = Augment()
    finetune: Finetune = Finetune()
    optim: Optim = Optim()
    schedule: Schedule = OneCycle()
    train: Train = Train()
    distill: Distill = Field(
        default=None, examples=["runs/big"], description="A trained model to learn from besides the labels; null: none."
    )
    eval: Eval = Eval()
    output: Output = Output()

    @field_validator("name")
    @classmethod
    def _folder_name(cls, value: str | None) -> str | None:
        if value is not None and (
            not value or value in (".", "..") or any(mark in value for mark in "/\\\0") or value != value.strip()
        ):
            raise ValueError(f"expected a plain folder name, found {value!r} (e.g. my-run)")
        return value


# A broken rule: the key to blame, and the text that says what is wrong with it.
Broken = tuple[tuple[str | int, ...], str]


def rules(recipe: Recipe) -> Iterator[Broken]:
    """Check the rules across sections; yield the key to blame and the error text for each broken rule."""
    for key, text in recipe.data.rules():
        yield ("data", key), text
    yield from _rules_of_length(recipe)
    yield from _rules_of_lora(recipe)
    yield from _rules_of_loss(recipe)
    yield from _rules_of_evaluation(recipe)
    yield from _rules_of_selection(recipe)
    yield from stage_rules(recipe.finetune, recipe.train, recipe.schedule)
    yield from _rules_of_cached_features(recipe)


def _rules_of_length(recipe: Recipe) -> Iterator[Broken]:
    """Check the schedule, the image size and the batch."""
    train, size = recipe.train, recipe.image_size
    if train.epochs != AUTO and recipe.schedule.warmup_epochs > train.epochs:
        text = f"{recipe.schedule.warmup_epochs:g} exceeds train.epochs {train.epochs} (lower it or train longer)"
        yield ("schedule", "warmup_epochs"), text
    if size.start != AUTO and size.end != AUTO and size.start > size.end:
        yield ("image_size", "start"), f"{size.start} exceeds end {size.end} (sizes only grow)"
    if train.accumulate != AUTO and train.batch_size != AUTO and train.accumulate > train.batch_size:
        yield ("train", "accumulate"), f"{train.accumulate} exceeds train.batch_size {train.batch_size} (lower it)"


def _rules_of_lora(recipe: Recipe) -> Iterator[Broken]:
    """Check that no other option of `finetune` conflicts with LoRA."""
    finetune = recipe.finetune
    if finetune.lora is None:
        return
    if finetune.freeze != "none":
        yield ("finetune", "freeze"), f"{finetune.freeze}, but finetune.lora keeps the whole backbone fixed (set it to none)"
    if finetune.stages != "none":
        yield ("finetune", "stages"), "conflicts with finetune.lora, which trains throughout (set one of them to its default)"
    if finetune.batch_norm == "train":
        yield ("finetune", "batch_norm"), "train, but finetune.lora keeps the whole backbone fixed (set it to frozen)"


def _rules_of_loss(recipe: Recipe) -> Iterator[Broken]:
    """Check the options that depend on the loss."""
    loss, augment = recipe.train.loss, recipe.augment
    if loss.kind == "bce" and loss.threshold is not None:
        if recipe.train.label_smoothing:
            yield ("train", "label_smoothing"), "has no effect if train.loss has a threshold (set one of them to its default)"
        if not (augment.mixup or augment.cutmix):
            yield ("train", "loss"), "a threshold needs mixed images (set augment.mixup or augment.cutmix)"


def _rules_of_evaluation(recipe: Recipe) -> Iterator[Broken]:
    """Check the options that depend on which images are evaluated."""
    data, evaluation = recipe.data, recipe.eval
    if data.folds is not None and evaluation.test_every_epoch:
        yield ("eval", "test_every_epoch"), "true, but data.folds does not use the test images (set it to false)"
    if data.val_fraction == 0 and data.folds is None and data.kind != "folder":
        # A folder may have validation images of its own.
        if evaluation.select_by != "last":
            yield ("eval", "select_by"), f"{evaluation.select_by} needs validation images, and data.val_fraction is 0 (use last)"
        if evaluation.temperature == "fit":
            yield ("eval", "temperature"), "fit needs validation images, and data.val_fraction is 0 (raise it, or use none)"
    if evaluation.tta == "hflip" and not data.mirrors:
        yield ("eval", "tta"), f"hflip mirrors images, which changes the meaning of {data.kind} (use none)"


def _rules_of_selection(recipe: Recipe) -> Iterator[Broken]:
    """Check the options that depend on how epochs are selected."""
    train, best = recipe.train, recipe.output.keep_best
    if recipe.eval.select_by == "last" and train.patience is not None:
        yield ("train", "patience"), "needs a validation metric to watch (set eval.select_by: val.accuracy)"
    if recipe.eval.select_by == "last" and train.soup != "none":
        yield ("train", "soup"), "needs a validation metric to choose by (set eval.select_by: val.accuracy)"
    if train.soup != "none" and best != AUTO and best < 2:
        text = f"{train.soup} needs at least two checkpoints, but output.keep_best is {best} (set it to auto)"
        yield ("train", "soup"), text


def _rules_of_cached_features(recipe: Recipe) -> Iterator[Broken]:
    """Check that features can be cached if the recipe asks for it."""
    key = ("finetune", "cache_features")
    if recipe.finetune.cache_features is not True:
        return
    if recipe.finetune.freeze != "backbone":
        yield key, "true, but the backbone trains, and its features change (set finetune.freeze: backbone, or write auto)"
    if found := varied(recipe.augment, recipe.image_size, recipe.backbone):
        yield key, f"true, but images vary from epoch to epoch (set {' '.join(found)}, or write auto)"
    if found := needs_images(recipe.eval, recipe.distill):
        yield key, f"true, but the images are needed in each epoch (set {' '.join(found)}, or write auto)"
