"""`result.json`: the result of a finished run, as a typed value. All readers of runs use `read_result`.

Numbers are fractions (0.8283), seconds, and megabytes of 10**6 bytes. A metric of `zoo.metrics.METRICS` that has no field
here is kept under its own name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.errors import ZooError
from zoo.results.folder import RESULT, RunFolder

# Version of the format. Version 1 had no `version` and `device_type`, and `device` was "cpu" for every processor.
VERSION = 2


class _Values(BaseModel):
    """Values of a file; additional values written by a newer version of zoo are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ClassScores(_Values):
    """Scores of one class; None if the denominator is zero."""

    precision: float | None
    recall: float | None
    f1: float | None
    n: int


class TestScores(_Values):
    """Scores on the test set; `ci95` is the 95 % interval of the accuracy (Wilson 1927)."""

    accuracy: float
    loss: float
    top5: float
    macro_f1: float
    ece: float
    n: int
    ci95: tuple[float, float]
    per_class: dict[str, ClassScores]


class Temperature(_Values):
    """The temperature by which the logits were divided (Guo et al. 2017), and its effect on val.

    Attributes:
        value: the temperature; it is part of the last layer of the saved model.
        images: number of validation images on which it was fitted.
        loss: loss on val in nats, before and after.
        ece: expected calibration error on val, before and after.
    """

    value: float
    images: int
    loss: tuple[float, float]
    ece: tuple[float, float]


class TrainingFigures(_Values):
    """Training: loss and accuracy of the selected epoch, speed and memory of all epochs.

    Attributes:
        eval_images_per_second: speed of the last pass over the test images (val if there is no test set), including the making
            of batches; None in files of earlier versions.
    """

    loss: float
    accuracy: float
    images_per_second: float
    data_share: float
    seconds: float
    peak_memory_mb: float
    eval_images_per_second: float | None = None


class SoupEpoch(_Values):
    """A candidate epoch of a weight average: its value on val, and whether it was averaged."""

    epoch: int
    value: float
    averaged: bool


class SoupScores(_Values):
    """An average of the weights of several epochs.

    Attributes:
        kind: uniform or greedy.
        value: value of the metric `selected_by` for the average.
        epochs: candidate epochs, the best first.
    """

    kind: str
    value: float
    epochs: tuple[SoupEpoch, ...]


class Result(_Values):
    """A finished run.

    Attributes:
        weights: kind of the source of pretrained weights, as in the recipe.
        weights_source: where the weights were found.
        classes: class names in label order.
        params: number of parameters.
        image_size: side in pixels at evaluation.
        epochs: completed passes over the training images.
        selected_by: the metric that selected the epoch, or `last`.
        selected_epoch: the selected epoch; the weights are those of this epoch, or an average with others.
        soup: the average of weights; None if there is none.
        val: metrics of the selected weights on the validation images, after `temperature`; empty if there are no such images.
        test: scores on the test set; None if there is none.
        tta: views of each image that all evaluations averaged, as in the recipe's `eval.tta`.
        temperature: the temperature by which the logits were divided; None if the recipe fits none.
        test_scored: when the test set was evaluated.
        predictions: name of the file in the run folder with the prediction for each image of val and test; empty if none.
        device: name of the processor or GPU.
        device_type: cpu, cuda, …; empty in files of version 1.
        folder: the run folder that the result was read from; not in the file.
    """

    version: int = 1
    status: str
    name: str
    backbone: str
    weights: str
    weights_source: str
    num_classes: int
    classes: tuple[str, ...]
    params: int
    image_size: int
    epochs: int
    steps: int
    selected_by: str
    selected_epoch: int
    soup: SoupScores | None = None
    val: dict[str, float]
    test: TestScores | None
    tta: str = "none"
    temperature: Temperature | None = None
    test_scored: str = ""
    predictions: str = ""
    train: TrainingFigures
    precision: str
    channels_last: bool
    accumulate: int = 1
    compile: bool
    batch_size: int
    processes: int
    seed: int
    versions: dict[str, str]
    device: str
    device_type: str = ""
    folder: Path | None = Field(default=None, exclude=True)

    @property
    def selected(self) -> str:
        """The epochs whose weights are kept, as text."""
        averaged = sorted(each.epoch for each in self.soup.epochs if each.averaged) if self.soup else []
        if len(averaged) < 2:
            return f"epoch {self.selected_epoch}"
        return f"the average of epochs {', '.join(map(str, averaged[:-1]))} and {averaged[-1]}"


def read_result(run: RunFolder) -> Result | None:
    """Read a run's result, written by this version or an earlier one; return None if the run is not finished.

    Raises:
        ZooError: the file is damaged.
    """
    if not (run.path / RESULT).exists():
        return None
    values: Any = run.read_json(RESULT)
    try:
        return Result.model_validate(values).model_copy(update={"folder": run.path})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise ZooError(str(run.path / RESULT), f"{key}: {first['msg'].lower()}", "the run is damaged") from None


def write_result(run: RunFolder, result: Result) -> None:
    """Write a run's result, which marks the run as finished.

    Raises:
        StorageError: the file cannot be written.
    """
    # Optional features are left out of the file at their defaults.
    values = result.model_dump()
    usual = {name: Result.model_fields[name].default for name in ("soup", "tta", "temperature")}
    run.write_json(RESULT, {name: value for name, value in values.items() if name not in usual or value != usual[name]})
