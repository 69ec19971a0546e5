"""Fixtures that tests share: a separate cache, a single thread, small image folders, a model and a recipe."""

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
    """Set an empty cache for one test; return its folder."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # A run sets this variable in its process, which is that of the tests; monkeypatch restores it afterwards.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # Several threads on busy cores wait for each other: with them, the tests of folding took 72 s instead of 12 s.
    torch.set_num_threads(1)


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a layout such as `{"train/cat": 3, …}` as small PNG images below a root."""

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
    """Save a model of three classes to a folder, as a run does."""
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
    """Write a recipe that trains in a second or two and has its runs below `tmp_path/runs`."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY + f"output: {{root: '{tmp_path / 'runs'}'}}\n", encoding="utf-8")
    return path
