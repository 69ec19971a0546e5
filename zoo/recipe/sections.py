"""The sections of a recipe that belong to the whole run: image size, training, evaluation, output."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_serializer

from zoo.metrics import METRICS
from zoo.recipe import messages
from zoo.section import Section


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


def image_size_mapping(value: Any) -> Any:
    """Expand a whole number into `{start, end}`; leave anything else as it is."""
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
            raise ValueError(messages.unknown_value(value, known))
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
