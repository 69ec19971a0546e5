"""What tests share: a cache of their own, few threads, tiny image folders and recipes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is empty."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # A run sets it for its own process, which is this one.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # Several threads on busy cores wait for each other: measured 72 s against 12 s for the tests of folding.
    torch.set_num_threads(1)


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Draw `{"train/cat": 3, …}` as small PNG images below a root."""

    def draw(layout: dict[str, int], *, size: tuple[int, int] = (40, 30), root: str = "images") -> Path:
        generator = np.random.default_rng(0)
        for folder, count in layout.items():
            place = tmp_path / root / folder
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number:03}.png")
        return tmp_path / root

    return draw


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A model of three classes, in the folder that a run would leave."""
    from helpers.models import save_tiny

    return save_tiny(tmp_path / "tiny-model")


TINY = """\
name: tiny
backbone: {name: test_resnet, weights: random, head_init: default}
data: {kind: synthetic, train_images: 160, test_images: 30, classes: 4}
image_size: 32
train: {epochs: 2, batch_size: 8, precision: fp32, channels_last: false, threads: 1}
augment: {hflip: true}
finetune: {batch_norm: train, head_lr_scale: 1}
optim: {lr: 2.0e-3}
schedule: cosine
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A recipe that trains in a second or two, and writes below `tmp_path/runs`."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY + f"output: {{root: '{tmp_path / 'runs'}'}}\n", encoding="utf-8")
    return path
