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
from zoo.section import AUTO, Section, Shorthand

# JSON schema of the short forms of `image_size`.
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


def rules(recipe: Recipe) -> Iterator[tuple[tuple[str, str], str]]:
    """Check what must hold across sections; yield the key to blame and what is wrong with it, for each broken rule."""
    train = recipe.train
    size = recipe.image_size
    if train.epochs != AUTO and recipe.schedule.warmup_epochs > train.epochs:
        text = f"{recipe.schedule.warmup_epochs:g} exceeds train.epochs {train.epochs} (lower it or train longer)"
        yield ("schedule", "warmup_epochs"), text
    if size.start != AUTO and size.end != AUTO and size.start > size.end:
        yield ("image_size", "start"), f"{size.start} exceeds end {size.end} (sizes only grow)"
    for key, text in recipe.data.rules():
        yield ("data", key), text
    if recipe.data.folds is not None and recipe.eval.test_every_epoch:
        yield ("eval", "test_every_epoch"), "data.folds leaves the test images alone (set it to false)"
    if (
        recipe.data.val_fraction == 0
        and recipe.data.folds is None
        and recipe.data.kind != "folder"
        and recipe.eval.select_by != "last"
    ):
        yield ("eval", "select_by"), f"{recipe.eval.select_by} needs validation images, and data.val_fraction is 0 (use last)"
    loss, augment = train.loss, recipe.augment
    if loss.kind == "bce" and loss.threshold is not None:
        if train.label_smoothing:
            yield ("train", "label_smoothing"), "has no effect with a threshold of train.loss (set one of them to its default)"
        if not (augment.mixup or augment.cutmix):
            yield ("train", "loss"), "a threshold needs images that are mixed (set augment.mixup or augment.cutmix)"
    if recipe.eval.select_by == "last" and train.patience is not None:
        yield ("train", "patience"), "needs a metric of val to watch (set eval.select_by: val.accuracy)"
    if train.accumulate != AUTO and train.batch_size != AUTO and train.accumulate > train.batch_size:
        yield ("train", "accumulate"), f"{train.accumulate} exceeds train.batch_size {train.batch_size} (lower it)"
    if train.soup != "none" and recipe.eval.select_by == "last":
        yield ("train", "soup"), "needs a metric of val to choose by (set eval.select_by: val.accuracy)"
    if train.soup != "none" and recipe.output.keep_best != AUTO and recipe.output.keep_best < 2:
        text = f"{train.soup} needs two checkpoints or more, and output.keep_best is {recipe.output.keep_best} (set it to auto)"
        yield ("train", "soup"), text
