"""The sections of a recipe that belong to the whole run: image size, training, evaluation, output."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_serializer

from zoo.data.views import Views
from zoo.metrics import METRICS
from zoo.optim.losses import CrossEntropy, Loss
from zoo.recipe import messages
from zoo.recipe.yaml import describe
from zoo.section import AUTO, Section, decided

# The side of an image in pixels, and a count of at least one.
Side = Annotated[int, Field(ge=8, le=2048)]
Positive = Annotated[int, Field(ge=1)]


class ImageSize(Section):
    """The side of the images in pixels. Where `start` and `end` differ, training images grow; evaluation always uses `end`."""

    start: Side | Literal["auto"] = Field(
        default=AUTO, examples=[224], description="Side in pixels at the first step; auto: three quarters of `end`."
    )
    end: Side | Literal["auto"] = Field(
        default=AUTO,
        examples=[224],
        description="Side in pixels at the last steps, and in evaluation. auto: the backbone's own, or less for "
        "images that are smaller than that.",
    )
    until: float = Field(default=0.6, gt=0, le=1, description="Share of all steps after which `end` is reached.")
    multiple: int = Field(default=16, ge=1, description="Sizes between `start` and `end` are multiples of this.")

    def at(self, step: float, steps: int) -> int:
        """Return the side in pixels at a step, counted from 0, of a run of `steps` steps."""
        progress = min(1.0, step / max(1.0, self.until * steps))
        sizes = self.sizes()
        return sizes[-1] if progress >= 1 else sizes[int(progress * (len(sizes) - 1))]

    def sizes(self) -> list[int]:
        """Return all image sides of a run in pixels, ascending: `start`, the multiples of `multiple` in between, and `end`."""
        start, end = decided(self.start), decided(self.end)
        between = range((start // self.multiple + 1) * self.multiple, end, self.multiple)
        return sorted({start, *between, end})

    @model_serializer
    def _short(self) -> int | str | dict[str, Any]:
        if self.start == self.end:
            return self.end
        return {"start": self.start, "end": self.end, "until": self.until, "multiple": self.multiple}


def image_size_mapping(value: Any) -> Any:
    """Expand a whole number, or `auto`, into `{start, end}`; leave anything else as it is."""
    short = value == AUTO or (isinstance(value, int) and not isinstance(value, bool))
    return {"start": value, "end": value} if short else value


class Train(Section):
    """The training loop."""

    epochs: Annotated[int, Field(ge=1, le=10**6)] | Literal["auto"] = Field(
        default=AUTO, description="Passes over the training images. auto: fewer for more images."
    )
    max_minutes: float | None = Field(
        default=None,
        gt=0,
        examples=[10],
        description="Time limit of the whole run in minutes, instead of `epochs`: the schedule is fitted to it from the measured "
        "speed. null: no limit.",
    )
    batch_size: Annotated[int, Field(ge=1, le=10**7)] | Literal["auto"] = Field(
        default=AUTO,
        description="Images per optimizer step, over all processes and micro-batches. auto: larger for more images.",
    )
    accumulate: Positive | Literal["auto"] = Field(
        default="auto",
        description="Micro-batches into which each process splits a step. auto: on a GPU, as few as fit into its memory; "
        "on a CPU the fastest number, and 1 if BatchNorm is trained.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Precision of forward and backward. auto: the fastest, measured at the start."
    )
    channels_last: bool | Literal["auto"] = Field(
        default="auto", description="Memory layout of images and activations. auto: the faster one, measured at the start."
    )
    compile: bool | Literal["default", "reduce-overhead", "max-autotune"] = Field(
        default=False, description="Compile the model with torch.compile, in one of its modes; true: its default mode."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto",
        description="Where to train. auto: a CUDA or ROCm GPU if there is one, else the CPU. mps, Apple's GPU, is refused: it "
        "lacks float64, in which a run sums.",
    )
    deterministic: bool = Field(
        default=False,
        description="On a GPU, use only deterministic algorithms, which are slower. On a CPU, all of them are.",
    )
    threads: Positive | Literal["auto"] = Field(
        default="auto", description="CPU threads of each process. auto: the cores divided by the processes of the machine."
    )
    loss: Loss = Field(default=CrossEntropy(), examples=["bce"], description="The loss that training minimizes.")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of each target that is spread evenly over all classes."
    )
    class_weights: Literal["none", "balanced", "effective"] | tuple[float, ...] = Field(
        default="none",
        examples=["balanced"],
        description="balanced: weigh images inversely to the frequency of their class; effective: by the effective number of its "
        "images (Cui et al. 2019), which is milder; or a list with a weight for each class.",
    )
    clip_grad: float | None = Field(
        default=None, gt=0, examples=[1.0], description="Maximum norm of the gradient; null: no clipping."
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        examples=[0.99],
        description="Decay per step of a moving average of the weights, which is evaluated and saved instead. null: none.",
    )
    soup: Literal["none", "uniform", "greedy"] = Field(
        default="none",
        description="Average the weights of the `output.keep_best` best epochs. uniform: of all of them; greedy: of those that "
        "do not make val worse (Wortsman et al. 2022).",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        examples=[3],
        description="Stop after this many evaluations in a row without a new best value. null: never.",
    )
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Seed of splits, order, augmentation and dropout.")
    timeout: int = Field(
        default=600, ge=5, description="Seconds to wait for an answer from the other processes before giving up the run."
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        known = ["none", "balanced", "effective"]
        if isinstance(value, list | tuple):
            wrong = [each for each in value if isinstance(each, bool | str) or not isinstance(each, int | float)]
            wrong += [each for each in value if each not in wrong and not 0 < each < math.inf]
            if wrong or not value:
                raise ValueError(f"expected numbers > 0, found {describe(wrong[0]) if wrong else 'none'} (one for each class)")
            return tuple(map(float, value))
        if value not in known:
            raise ValueError(messages.unknown_value(value, known, "a list of numbers"))
        return value


class Eval(Section):
    """Evaluation: on val during training, on the test set after it."""

    every_epochs: int = Field(default=1, ge=1, description="Evaluate on val every this many epochs, and after the last one.")
    select_by: str = Field(
        default="val.accuracy",
        description="Which epoch's weights to keep: the best by a metric of val (val.accuracy, val.loss, ...), or `last`.",
    )
    crop: float | Literal["auto"] = Field(
        default="auto",
        description="Share of the side that a center crop keeps. auto: the backbone's own for random_resized crops, else 1.",
    )
    test_every_epoch: bool = Field(
        default=False,
        description="Score the test set too at each evaluation (see `every_epochs`), as tutorials do. It never selects weights.",
    )

    tta: Views = Field(
        default="none",
        description="Views of an image whose probabilities are averaged, in every evaluation of the run. hflip: the image and "
        "its mirror, twice the time; five_crop: center and corners, each 0.875 of the short side, five times.",
    )
    temperature: Literal["none", "fit"] = Field(
        default="none",
        description="fit: after training, divide the logits by the temperature that minimizes the loss on val (Guo et al. 2017). "
        "It is merged into the last layer.",
    )

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
            raise ValueError(messages.unknown_value(value, known))
        return value


# The experiment trackers that Accelerate supports.
Tracker = Literal["aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"]


class Output(Section):
    """The folder, checkpoints and trackers of a run."""

    root: Path = Field(default=Path("runs"), validate_default=False, description="Folder that contains the run folders.")
    keep_last: int = Field(default=1, ge=1, description="Number of newest checkpoints to keep.")
    keep_best: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        default=AUTO,
        description="Number of best checkpoints to keep, in addition to `keep_last`. auto: 1, or 5 if train.soup averages them.",
    )
    checkpoint_every: str = Field(
        default="1 epoch",
        description="How often to write a checkpoint: '2 epochs' or '500 steps'. Each epoch that is the best so far is saved "
        "too, and the last one.",
    )
    track: tuple[Tracker, ...] = Field(
        default=(), description="Experiment trackers to log to, through Accelerate. Each needs its own package."
    )

    @field_validator("checkpoint_every")
    @classmethod
    def _interval(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9][0-9]* (epoch|step)s?", value):
            raise ValueError(f"expected a number of epochs or steps, found {value!r} (e.g. '1 epoch' or '500 steps')")
        return value
