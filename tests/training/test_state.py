"""Plain values of the loop: steps, batch sizes, sums over an epoch."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zoo.training.budget import StepPlan
from zoo.training.state import EpochTotals, Training, steps_of


def training(**values: Any) -> Training:
    needed = {
        "accelerator": SimpleNamespace(num_processes=2), "model": torch.nn.Linear(1, 1), "bare_model": None, "optimizer": None,
        "watch": None, "train": range(100),
        "val": None, "test": None, "plan": StepPlan.of(12), "batch_size": 32, "seed": 0, "lr_at": lambda step: 0.1,
        "size_at": lambda step: 32, "eval_size": 32, "augment": None,
    }  # fmt: skip
    return Training(**(needed | values))


@pytest.mark.parametrize(("images", "batch_size", "steps"), [(100, 32, 4), (96, 32, 3), (1, 32, 1), (32, 1, 32)])
def test_an_epoch_has_the_steps_that_its_images_need(images: int, batch_size: int, steps: int):
    assert steps_of(images, batch_size) == steps


def test_steps_and_evaluation_batches_follow_from_the_batch_size():
    found = training(micro_batches=4)
    assert (found.steps_per_epoch, found.steps, found.epochs) == (4, 12, 3)
    # An epoch that is cut short counts as one.
    assert training(plan=StepPlan.of(9)).epochs == 3
    assert found.eval_batch_size == 32 // (2 * 4)
    assert training(batch_size=1).eval_batch_size == 1


def test_averaged_weights_are_those_that_are_evaluated():
    found, averaged = training(), torch.nn.Linear(1, 1)
    assert found.eval_model is found.model
    assert training(averaged=SimpleNamespace(module=averaged)).eval_model is averaged


def test_the_optimizer_is_found_inside_the_prepared_one():
    plain = torch.optim.SGD(torch.nn.Linear(1, 1).parameters())
    assert training(optimizer=plain).plain_optimizer is plain
    assert training(optimizer=SimpleNamespace(optimizer=plain)).plain_optimizer is plain


def test_sums_of_an_epoch_keep_data_apart_from_the_whole():
    totals = EpochTotals(images=8)

    def slow():
        for item in "ab":
            time.sleep(0.02)
            yield item

    with totals.running():
        assert list(totals.timed(slow())) == ["a", "b"]
        time.sleep(0.02)
    assert 0.04 <= totals.data_seconds < totals.seconds
    found = totals.with_sums(torch.tensor([2.5, 6.0], dtype=torch.float64))
    assert (found["loss"], found["hits"], found["images"]) == (2.5, 6.0, 8)
    assert EpochTotals(**found) == totals
