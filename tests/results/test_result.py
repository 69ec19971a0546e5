"""`result.json` is read back as it was written; results of earlier and later versions can be read too."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from zoo.errors import ZooError
from zoo.results.folder import RunFolder
from zoo.results.result import VERSION, Result, read_result, write_result

SCORES = {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "n": 2}
TEST = {"accuracy": 0.75, "loss": 0.5, "top5": 1.0, "macro_f1": 0.7, "ece": 0.1, "n": 4, "ci95": [0.3, 0.95]}
VALUES: dict[str, Any] = {
    "version": VERSION, "status": "done", "name": "net", "backbone": "resnet18.tv_in1k", "weights": "auto",
    "weights_source": "hub cache", "num_classes": 2, "classes": ["cat", "dog"], "params": 11_000_000, "image_size": 96,
    "epochs": 3, "steps": 30, "selected_by": "val.accuracy", "selected_epoch": 2, "val": {"accuracy": 0.8, "loss": 0.4},
    "test": TEST | {"per_class": {"cat": SCORES, "dog": SCORES | {"precision": None}}}, "test_scored": "once, after selection",
    "predictions": "predictions.csv",
    "train": {
        "loss": 0.3, "accuracy": 0.9, "images_per_second": 120.0, "data_share": 0.01, "seconds": 9.5, "peak_memory_mb": 700.0,
        "eval_images_per_second": 480.0,
    },
    "precision": "fp32", "channels_last": True, "accumulate": 1, "compile": False, "batch_size": 32, "processes": 1, "seed": 0,
    "versions": {"torch": "2.14"}, "device": "AMD EPYC", "device_type": "cpu",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "net")


def test_a_result_is_read_as_it_was_written(run: RunFolder):
    result = Result.model_validate(VALUES)
    write_result(run, result)
    assert read_result(run) == result.model_copy(update={"folder": run.path})
    assert json.loads((run.path / "result.json").read_text()) == VALUES


def test_a_run_that_is_not_finished_has_none(run: RunFolder):
    assert read_result(run) is None


def test_a_result_of_the_first_version_is_read(run: RunFolder):
    newer = ("version", "test_scored", "accumulate", "device_type", "predictions")
    run.write_json("result.json", {key: value for key, value in VALUES.items() if key not in newer})
    result = read_result(run)
    assert result is not None
    assert (result.version, result.device_type, result.test_scored, result.accumulate) == (1, "", "", 1)


def test_a_result_without_the_speed_of_evaluation_is_read(run: RunFolder):
    train = {key: value for key, value in VALUES["train"].items() if key != "eval_images_per_second"}
    run.write_json("result.json", VALUES | {"train": train})
    result = read_result(run)
    assert result is not None
    assert result.train.eval_images_per_second is None


def test_values_of_a_later_version_are_kept(run: RunFolder):
    """An example is a metric that was added to zoo.metrics."""
    run.write_json("result.json", VALUES | {"test": VALUES["test"] | {"brier": 0.2}, "later": [1]})
    result = read_result(run)
    assert result is not None
    assert result.model_dump(mode="json")["later"] == [1]
    assert result.test is not None
    assert result.test.model_dump()["brier"] == 0.2


def test_a_run_without_a_test_set_and_one_with_scores_that_are_no_numbers(run: RunFolder):
    run.write_json("result.json", VALUES | {"test": None, "val": {"loss": math.nan}})
    result = read_result(run)
    assert result is not None
    assert result.test is None
    assert math.isnan(result.val["loss"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"epochs": "many"}, r"result\.json: epochs: input should be a valid integer.* \(the run is damaged\)$"),
        ({"test": TEST}, r"result\.json: test\.per_class: field required \(the run is damaged\)$"),
    ],
)
def test_a_damaged_result_names_the_value(run: RunFolder, change: dict[str, Any], text: str):
    run.write_json("result.json", VALUES | change)
    with pytest.raises(ZooError, match=text):
        read_result(run)


def test_an_average_of_epochs_is_kept_and_named(run: RunFolder):
    epochs = [{"epoch": number, "value": 0.5, "averaged": number > 1} for number in (4, 2, 3, 1)]
    result = Result.model_validate(VALUES | {"soup": {"kind": "greedy", "value": 0.6, "epochs": epochs}})
    assert result.selected == "the average of epochs 2, 3 and 4"
    write_result(run, result)
    assert read_result(run) == result.model_copy(update={"folder": run.path})
    assert Result.model_validate(VALUES).selected == "epoch 2"
