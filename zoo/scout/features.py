"""Run a backbone without its head on the images of a pixel store, preprocessed as in evaluation."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from zoo.data.batches import Batches
from zoo.errors import ZooError
from zoo.inference.lanes import in_lanes, lanes_here
from zoo.inference.networks import CPU_PIXELS, GPU_PIXELS, MOST_IMAGES
from zoo.models.build import BuiltModel
from zoo.models.features import FeatureExtractor, backbone_digest
from zoo.models.fuse_batchnorm import fused_copy
from zoo.models.sizes import example_images

# Version of the features; increase it when the same pixels and weights would give different features.
FORMAT = 1
# Chunks per lane on which the speed is measured if features are cached, after one warm-up chunk.
TIMED_CHUNKS = 4
# Number of single images that are timed, and number of warm-up images before them.
SINGLES = (9, 3)


class Backbone:
    """A backbone that computes features on this machine.

    BatchNorm is fused into convolutions, and each thread computes its own chunk, as in `zoo predict`.

    Args:
        model: timm model with weights, on the CPU.
        batches: the images.
        size: side in pixels of the model's images.

    Raises:
        ZooError: the model has no features before a last layer.
    """

    def __init__(self, model: nn.Module, batches: Batches, size: int) -> None:
        if not hasattr(model, "forward_head"):
            raise ZooError("MODEL", f"{type(model).__name__} has no features before a last layer", "leave it out")
        device = batches.device
        fused = fused_copy(model.eval().to(device), example_images(size).to(device))
        self.network = FeatureExtractor(fused.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        self.batches, self.size = batches, size
        kind = "cpu" if device.type == "cpu" else "cuda"
        pixels = CPU_PIXELS if kind == "cpu" else GPU_PIXELS
        self.chunk = max(1, min(MOST_IMAGES[kind], pixels // size**2))
        self.lanes = lanes_here()

    @torch.inference_mode()
    def features(self, positions: Sequence[int]) -> Tensor:
        """Return the features of the images at some positions, float32 [B, D], on the CPU."""
        images, _ = self.batches.evaluation(np.asarray(positions, np.int64), self.size)
        return self.network(images).flatten(1).float().cpu()

    def extract(self, count: int) -> tuple[Tensor, float]:
        """Return the features of the first `count` images, float32 [N, D], and the images/s, including the making of batches."""
        # Warm-up: the first batch chooses kernels and allocates memory.
        self.features(range(min(count, self.chunk)))
        before = time.perf_counter()
        rows = list(in_lanes(range(count), lambda chunk: list(self.features(chunk)), self.chunk, self.lanes))
        return torch.stack(rows), count / (time.perf_counter() - before)

    def speed(self) -> float:
        """Return images/s, measured on a few chunks."""
        return self.extract(min(len(self.batches), TIMED_CHUNKS * self.lanes * self.chunk))[1]

    def single_ms(self) -> float:
        """Return the median milliseconds of a single image."""
        timed, warm_up = SINGLES
        seconds = []
        for number in range(warm_up + timed):
            before = time.perf_counter()
            self.features([number % len(self.batches)])
            seconds.append(time.perf_counter() - before)
        return 1e3 * statistics.median(seconds[warm_up:])


def feature_key(built: BuiltModel, name: str, size: int, preprocessing: dict[str, Any], pixels: str, device: str) -> str:
    """Return the cache key of features; it depends on the weights, images, size, preprocessing, device and timm version.

    Args:
        built: the backbone; its head does not affect the key.
        name: timm name of the backbone.
        size: side of the images in pixels.
        preprocessing: `mean, std, interpolation, crop_pct, crop_mode`.
        pixels: digest of the images.
        device: type of the device, `cpu` or `cuda`; their arithmetic differs.
    """
    # The timm version is included because a name may get another architecture in another version.
    prepared = [f"{key}={preprocessing[key]}" for key in sorted(preprocessing)]
    facts = [FORMAT, timm.__version__, device, name, size, pixels, *prepared]
    digest = hashlib.sha256("\0".join(map(str, facts)).encode())
    digest.update(backbone_digest(built.model, built.head))
    return digest.hexdigest()[:32]
