"""A thread that works ahead gives the same items, in the same order, as work without a thread, and the same errors."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from helpers.tensors import same_tensors
from safetensors.torch import load_file

from zoo.errors import DataError
from zoo.recipe.load import load_recipe
from zoo.training import run as running
from zoo.training import setup
from zoo.training.feeder import feed

MIXED = [
    "augment.mixup=0.2",
    "augment.cutmix=1.0",
    "augment.erase=0.3",
    "train.accumulate=2",
    "augment.policy=aug_mix",
    "finetune.batch_norm=frozen",
]


@pytest.mark.parametrize("ahead", [0, 1, 2, 100])
def test_items_come_in_their_order(ahead: int) -> None:
    assert list(feed(lambda item: item * item, range(10), ahead)) == [number * number for number in range(10)]
    assert list(feed(str, [], ahead)) == []


def test_a_thread_is_no_more_steps_ahead_than_it_may() -> None:
    made: list[int] = []
    fed = feed(lambda item: made.append(item) or item, range(10), 2)
    assert next(fed) == 0
    fed.close()
    assert max(made) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feeder")]


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_comes_where_its_item_would(ahead: int) -> None:
    def gather(item: int) -> int:
        if item == 3:
            raise DataError("store", "shrank")
        return item

    fed = feed(gather, range(10), ahead)
    assert [next(fed) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="shrank"):
        next(fed)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feeder")]


def trained(tiny: Path, name: str, ahead: int, monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> dict[str, Any]:
    """Train with a thread that works `ahead` batches ahead; pause once, after epoch `stop_at`, if given; return the weights."""
    assemble = setup.assemble

    def fed(*arguments: Any) -> Any:
        training = assemble(*arguments)
        training.ahead = ahead
        return training

    with monkeypatch.context() as patch:
        patch.setattr(setup, "assemble", fed)
        recipe = load_recipe(tiny, [*MIXED, f"name={name}"])
        folder = running.train(recipe, until_epoch=stop_at)
        if stop_at:
            folder = running.train(recipe, folder)
    return load_file(folder / "model/model.safetensors")


def test_a_run_has_the_same_bits_with_a_feeder_and_without(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = trained(tiny, "without", 0, monkeypatch)
    assert same_tensors(trained(tiny, "with", 2, monkeypatch), without)
    assert same_tensors(trained(tiny, "paused", 3, monkeypatch, stop_at=1), without)
