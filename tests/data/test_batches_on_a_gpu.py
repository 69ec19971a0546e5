"""A batch is made without a GPU waiting for its CPU, or the CPU for it: counted on tensors that only say they are on one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.fake_cuda import CUDA, Watching, fake_cuda

from zoo.data import resize
from zoo.data.augment import Augment
from zoo.data.batches import Batches, Preprocessing
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize
from zoo.data.splits import Split

IMAGES, SIDE = 64, 32
EVERYTHING = {
    "crop": {"kind": "random_resized"}, "hflip": True, "color_jitter": 0.3, "erase": 0.3, "mixup": 0.2, "cutmix": 1.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_constants() -> None:
    """Forget the constants of other tests: fake ones are of no use to them, nor theirs here."""
    resize.column.cache_clear()
    yield
    resize.column.cache_clear()


def made(*, resident: bool) -> Batches:
    store = PixelStore.square(np.zeros((IMAGES, 3, SIDE, SIDE), np.uint8))
    split = Split.of(store, np.zeros(IMAGES, np.int64))
    preprocessing = Preprocessing(Normalize((0.5,) * 3, (0.25,) * 3), "bicubic", 0.9)
    there = torch.empty(IMAGES, 3, SIDE, SIDE, dtype=torch.uint8, device=CUDA) if resident else None
    return Batches(split, preprocessing, 10, CUDA, channels_last=True, resident=there)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("options", [{}, EVERYTHING])
@pytest.mark.parametrize("part", [slice(0, 32), slice(0, 16)])
def test_a_training_batch_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, resident: bool, options: dict[str, object], part: slice
) -> None:
    augment = Augment.model_validate(options)
    with fake_cuda(monkeypatch):
        if not resident:
            monkeypatch.setattr(PixelStore, "take", lambda self, index, out=None: out)
            monkeypatch.setattr(torch.Tensor, "numpy", lambda self: None)
        batches = made(resident=resident)
        # Constants are made with the first batch, once.
        batches.training(np.arange(32), part, 224, augment, 0, 0)
        with Watching() as watching:
            images, targets = batches.training(np.arange(32), part, 224, augment, 0, 1)
    assert (images.device, images.shape) == (CUDA, (part.stop, 3, 224, 224))
    assert targets.device == CUDA
    assert dict(watching.waits) == {}
    copies = 1 + (not resident)
    # The partners of a part may be others' images, which are made once more.
    assert sum(watching.copies.values()) <= copies * (2 if options and part.stop < 32 else 1)


def test_an_evaluation_batch_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        batches = made(resident=True)
        batches.evaluation(np.arange(8), 224)
        with Watching() as watching:
            images, _ = batches.evaluation(np.arange(8, 16), 224)
    assert images.shape == (8, 3, 224, 224)
    assert (dict(watching.waits), sum(watching.copies.values())) == ({}, 1)
