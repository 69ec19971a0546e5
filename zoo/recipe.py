"""A recipe: every option of a run, the rules across sections, and where shipped recipes are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_serializer

from zoo import config, source
from zoo.data.augment import Augment
from zoo.data.options import Data
from zoo.errors import RecipeErrors, ZooError
from zoo.metrics import METRICS
from zoo.models.finetune import Finetune
from zoo.models.options import Backbone
from zoo.optim.options import Optim
from zoo.optim.schedules import Cosine, Schedule
from zoo.section import Section, Shorthand


class ImageSize(Section):
    """The side of training images in pixels, growing from `start` to `end` where they differ. Evaluation uses `end`."""

    start: int = Field(ge=8, le=2048, examples=[224], description="Side at the first step.")
    end: int = Field(ge=8, le=2048, examples=[224], description="Side at the last step, and at evaluation.")
    until: float = Field(default=0.6, gt=0, le=1, description="Share of the steps after which the last size is reached.")
    multiple: int = Field(default=16, ge=1, description="Sizes in between are multiples of this.")

    def at(self, step: int, steps: int) -> int:
        """The side at a step (counted from 0) of a run of so many."""
        progress = min(1.0, step / max(1.0, self.until * steps))
        sizes = self.sizes()
        return sizes[-1] if progress >= 1 else sizes[int(progress * (len(sizes) - 1))]

    def sizes(self) -> list[int]:
        """All the sides of a run, ascending: both ends, and the multiples in between."""
        between = range((self.start // self.multiple + 1) * self.multiple, self.end, self.multiple)
        return sorted({self.start, *between, self.end})

    @model_serializer
    def _short(self) -> int | dict[str, Any]:
        if self.start == self.end:
            return self.end
        return {"start": self.start, "end": self.end, "until": self.until, "multiple": self.multiple}


def _image_size(value: Any) -> Any:
    return {"start": value, "end": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Train(Section):
    """The training loop."""

    epochs: int = Field(default=10, ge=1, le=10**6, description="Passes over the training images.")
    batch_size: int = Field(default=128, ge=1, le=10**7, description="Images in a step, over all processes and micro-batches.")
    accumulate: int | Literal["auto"] = Field(
        default="auto",
        description="Micro-batches a step is split into on each process; auto: as few as fit into a GPU; on a CPU the fastest, "
        "and one where BatchNorm trains.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="auto: the fastest, measured at the start."
    )
    channels_last: bool | Literal["auto"] = Field(
        default="auto", description="Memory layout; auto: the faster, measured at the start."
    )
    compile: bool = Field(default=False, description="Compile the model (torch.compile).")
    threads: int | Literal["auto"] = Field(
        default="auto", description="CPU threads of each process; auto: the cores divided by the processes."
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Share of the target spread over all classes.")
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: each class weighs as much in the loss as any other, however few its images."
    )
    clip_grad: float | None = Field(default=None, gt=0, examples=[1.0], description="Largest norm of the gradient.")
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        examples=[0.99],
        description="Decay of an average of the weights, which is then evaluated and saved.",
    )
    patience: int | None = Field(
        default=None, ge=1, examples=[3], description="Stop after so many evaluations without a better one."
    )
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Of everything random.")
    timeout: int = Field(default=600, ge=5, description="Seconds that a process waits for the others before the run is given up.")

    @field_validator("accumulate", "threads")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"must be >= 1, found {value} (or write auto)")
        return value


class Eval(Section):
    """Evaluation while training, and of the test set after it."""

    every_epochs: int = Field(default=1, ge=1, description="Epochs between two evaluations on val.")
    select_by: str = Field(
        default="val.accuracy",
        description="Which epoch's weights are kept: a metric of val (val.accuracy, val.loss, …), or last.",
    )
    crop: float | Literal["auto"] = Field(
        default="auto",
        description="Share of the image's side that is shown; auto: the backbone's own for random_resized crops, else all of it.",
    )
    test_every_epoch: bool = Field(default=False, description="Score the test set each epoch, as tutorials do. It never selects.")

    @field_validator("crop")
    @classmethod
    def _share(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and not 0 < value <= 1:
            raise ValueError(f"must be > 0 and <= 1, found {value} (or write auto)")
        return value

    @field_validator("select_by")
    @classmethod
    def _known(cls, value: str) -> str:
        known = ["last", *(f"val.{name}" for name in METRICS)]
        if value.startswith("test."):
            raise ValueError("the test set must not choose the weights (use val.accuracy, or last)")
        if value not in known:
            raise ValueError(config.unknown(value, known))
        return value


Tracker = Literal["aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"]


class Output(Section):
    """Where a run is written."""

    root: Path = Field(default=Path("runs"), validate_default=False, description="Folder of the run folders.")
    keep_last: int = Field(default=1, ge=1, description="Newest checkpoints kept.")
    keep_best: int = Field(default=1, ge=0, description="Best checkpoints kept besides.")
    checkpoint_every: str = Field(default="1 epoch", description="'2 epochs' or '500 steps'.")
    track: tuple[Tracker, ...] = Field(
        default=(), description="Accelerate trackers to log to, each a package to install: tensorboard, wandb, …"
    )

    @field_validator("checkpoint_every")
    @classmethod
    def _interval(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9][0-9]* (epoch|step)s?", value):
            raise ValueError(f"expected a number of epochs or steps, found {value!r} (e.g. '1 epoch' or '500 steps')")
        return value


class Recipe(Section):
    """A run, whole: `zoo recipe RECIPE` prints it."""

    name: str | None = Field(
        default=None, examples=["my-run"], description="Name of the run folder; null: the recipe's file name."
    )
    backbone: Backbone = Field(description="The network and its weights.")
    data: Data = Field(description="The images.")
    image_size: Annotated[ImageSize, Shorthand(_image_size, {"type": "integer"}, "a whole number or {start, end}")] = Field(
        default=ImageSize(start=224, end=224), examples=[224], description="Side of the images in pixels, or {start, end}."
    )
    augment: Augment = Augment()
    finetune: Finetune = Finetune()
    optim: Optim = Optim()
    schedule: Schedule = Cosine()
    train: Train = Train()
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
    """What holds across sections: the key to blame and what is wrong with it."""
    train = recipe.train
    if recipe.schedule.warmup_epochs > train.epochs:
        text = f"{recipe.schedule.warmup_epochs:g} exceeds train.epochs {train.epochs} (lower it or train longer)"
        yield ("schedule", "warmup_epochs"), text
    if recipe.image_size.start > recipe.image_size.end:
        yield ("image_size", "start"), f"{recipe.image_size.start} exceeds end {recipe.image_size.end} (sizes only grow)"
    if recipe.data.val_fraction == 0 and recipe.data.kind != "folder" and recipe.eval.select_by != "last":
        yield ("eval", "select_by"), f"{recipe.eval.select_by} needs validation images, and data.val_fraction is 0 (use last)"
    if recipe.eval.select_by == "last" and train.patience is not None:
        yield ("train", "patience"), "needs a metric of val to watch (set eval.select_by: val.accuracy)"
    if isinstance(train.accumulate, int) and train.accumulate > train.batch_size:
        yield ("train", "accumulate"), f"{train.accumulate} exceeds train.batch_size {train.batch_size} (lower it)"


# ------------------------------------------------------------------------------------- loading


def load(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check all of it.

    Raises:
        ZooError: the file cannot be read.
        RecipeErrors: with a line for every mistake.
    """
    written = source.read(find(path))
    if any(override.startswith("image_size.") for override in overrides) and "image_size" in written.tree:
        written.tree["image_size"] = _image_size(written.tree["image_size"])
    source.apply_overrides(written, overrides)
    recipe = config.validate(Recipe, written)
    mistakes = config.in_order(written, [(key, config.mistake_at(written, key, text)) for key, text in rules(recipe)])
    if mistakes:
        raise RecipeErrors(mistakes)
    return recipe if recipe.name else recipe.model_copy(update={"name": path.stem})


def find(path: Path) -> Path:
    """The file itself, or the shipped recipe of that name."""
    if os.path.exists(path) or path.is_absolute():
        return path
    for candidate in (shipped_root() / path, shipped_root() / f"{path}.yaml"):
        if candidate.is_file():
            return candidate
    return path


def shipped_root() -> Path:
    """The folder of the shipped recipes: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "recipes"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "recipes"


def shipped() -> list[tuple[str, str]]:
    """The shipped recipes: name, and the first comment line that says what it is for."""
    root = shipped_root()
    found = []
    for path in sorted(root.rglob("*.yaml")):
        comments = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        about = next((line for line in comments if line and not line.startswith("yaml-language-server")), "")
        found.append((path.relative_to(root).with_suffix("").as_posix(), about))
    return found


def schema() -> str:
    """The JSON schema of recipes, for editors."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


__all__ = ["Recipe", "ZooError", "find", "load", "rules", "schema", "shipped", "shipped_root"]
