"""Batches never make the CPU wait for a GPU, and hardly leave a GPU idle: tested without one, on fake tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.fake_cuda import CUDA, Watching, fake_cuda
from helpers.gpu_clock import LAUNCH_US, Part, step_us

from zoo.data import resize
from zoo.data.augment import Augment
from zoo.data.batches import Batches, Preprocessing
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize
from zoo.data.splits import Split

IMAGES, SIDE = 64, 32
EVERYTHING = {
    "crop": {"kind": "random_resized"}, "hflip": True, "color_jitter": 0.3, "erase": 0.3, "mixup": 0.2, "cutmix": 1.0,
    "policy": "rand_augment", "rotate": 15.0,
}  # fmt: skip
# Microseconds of the GPU for a step of ResNet-18 with 128 images of 224 px in bf16: forward and backward; the optimizer; a batch
# from images of 32 px that are kept on the GPU; a batch from photographs of 384 px. The first two of the RTX 3090 add up to
# timm's own figure, 36.8 ms (3,481 images/s); the others are assumed.
GPUS = {
    "RTX 3090": (36_430, 350, 700, 3_600),
    "A100": (19_480, 220, 450, 2_850),
    "H100": (10_540, 130, 300, 2_400),
}
# Number of kernels of forward and backward with autocast, and of fused AdamW.
MODEL_LAUNCHES, OPTIMIZER_LAUNCHES = 245, 12
# Microseconds of Python in a step in addition to launches: for draws, seeds and the optimizer.
HOST_US = 700.0


@pytest.fixture(autouse=True)
def fresh_constants() -> None:
    """Clear cached constants before and after a test: fake and real tensors cannot be used together."""
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
        # The first batch makes the constants, which are cached.
        batches.training(np.arange(32), part, 224, augment, 0, 0)
        with Watching() as watching:
            images, targets = batches.training(np.arange(32), part, 224, augment, 0, 1)
    assert (images.device, images.shape) == (CUDA, (part.stop, 3, 224, 224))
    assert targets.device == CUDA
    assert dict(watching.waits) == {}
    copies = 1 + (not resident)
    # Images may be mixed with images outside of the part, which takes as many copies again.
    assert sum(watching.copies.values()) <= copies * (2 if options and part.stop < 32 else 1)


def test_an_evaluation_batch_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        batches = made(resident=True)
        batches.evaluation(np.arange(8), 224)
        with Watching() as watching:
            images, _ = batches.evaluation(np.arange(8, 16), 224)
    assert images.shape == (8, 3, 224, 224)
    assert (dict(watching.waits), sum(watching.copies.values())) == ({}, 1)


def counted(monkeypatch: pytest.MonkeyPatch, *, resident: bool) -> Watching:
    """Count the launches, copies and waits of a batch of 32 images; batches of other sizes launch as much."""
    with fake_cuda(monkeypatch):
        if not resident:
            monkeypatch.setattr(PixelStore, "take", lambda self, index, out=None: out)
            monkeypatch.setattr(torch.Tensor, "numpy", lambda self: None)
        batches = made(resident=resident)
        batches.training(np.arange(32), slice(None), 224, Augment(), 0, 0)
        with Watching() as watching:
            batches.training(np.arange(32), slice(None), 224, Augment(), 0, 1)
    return watching


def share_of_the_model(gpu: str, batch: Part, *, late: bool) -> float:
    """Return the speed of whole steps as a share of the speed of the model and the optimizer alone."""
    model_us, optimizer_us, *_ = GPUS[gpu]
    model, optimizer = Part(0, MODEL_LAUNCHES, model_us), Part(0, OPTIMIZER_LAUNCHES, optimizer_us)
    alone = max(model_us + optimizer_us, (MODEL_LAUNCHES + OPTIMIZER_LAUNCHES) * LAUNCH_US)
    judge = Part(waits=0 if late else 1)
    return alone / step_us([Part(HOST_US), batch, model, judge, optimizer], late=late)


@pytest.mark.parametrize(
    ("resident", "gpu", "least"),
    [
        *((True, "RTX 3090", 0.98), (True, "A100", 0.97), (True, "H100", 0.97)),
        *((False, "RTX 3090", 0.90), (False, "A100", 0.85), (False, "H100", 0.80)),
    ],
)
def test_a_simulated_gpu_is_hardly_idle(monkeypatch: pytest.MonkeyPatch, resident: bool, gpu: str, least: float) -> None:
    watching = counted(monkeypatch, resident=resident)
    launches, waits = sum(watching.launches.values()), sum(watching.waits.values())
    batch = Part(0, launches, GPUS[gpu][2 if resident else 3], waits)
    share = share_of_the_model(gpu, batch, late=True)
    print(f"{gpu}, {'images kept on it' if resident else 'photographs'}: {launches} launches, {share:.1%} of the model alone")
    assert share >= least
    # The simulation notices waits: one before the model lowers the share, and reading each result at once lowers it clearly.
    waiting = Part(0, launches, batch.gpu_us, 1)
    assert share_of_the_model(gpu, waiting, late=True) < share
    assert share_of_the_model(gpu, waiting, late=False) < share - 0.005
