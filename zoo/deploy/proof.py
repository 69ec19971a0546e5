"""Prove an exported file on real images: its probabilities, its answers and its speed beside those of the live model.

Two checks, since a graph with photographs inside differs from Pillow by 1 of 255 in a few pixels:

* strict: images that have the size of the resize already, which both leave as they are. fp32 must agree to the last digits,
  so that a wrong weight cannot hide behind different pixels.
* whole: the photographs as they are.

A file that takes a normalized batch gets the same one as the live model, and both checks are one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zoo.deploy.onnx_pixels import resized_side
from zoo.deploy.paired import PairedAccuracy, paired_accuracy
from zoo.deploy.proof_images import ProofImages
from zoo.errors import ZooError
from zoo.inference.preprocessing import Preprocessing
from zoo.models.fuse_batchnorm import fused_copy

# Largest difference of a probability in the strict check. fp32: the same sums in another order (measured: 2e-6).
# fp16 has 11 bits of mantissa. int8 has no bound of its own: its answers count.
STRICT = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.0}
# Share of images on which the answer must be the same, in both checks.
AGREE = {"fp32": 0.99, "fp16": 0.98, "int8": 0.90}
# Images of a batch while proving, and in the second measurement of speed.
BATCH = 64
# Times that each measurement of speed is repeated at most, and the seconds for each of its two halves.
REPEATS, SECONDS = 15, 2.5


class Network(Protocol):
    """Answer for an exported file: logits of a batch."""

    takes_pixels: bool
    batch: int | None

    def logits(self, batch: Tensor | np.ndarray) -> Tensor:
        """Return float32 [N, C] of uint8 [N, H, W, 3] if `takes_pixels`, else of float32 [N, 3, T, T]."""
        ...


@dataclass(frozen=True)
class Live:
    """The live model and its preprocessing."""

    model: nn.Module
    preprocessing: Preprocessing

    def batch(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the model's input for RGB images: float32 [B, 3, T, T]."""
        pixels = np.stack([self.preprocessing.pixels(image) for image in images])
        return self.preprocessing.normalize(torch.from_numpy(pixels))

    def logits(self, batch: Tensor) -> Tensor:
        """Return float32 [B, C] of float32 [B, 3, T, T]."""
        with torch.inference_mode():
            return self.model(batch).float()

    def quickest(self) -> Live:
        """Return the model as `zoo predict` runs it: BatchNorm fused, channels last."""
        side = self.preprocessing.size
        example = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
        fused = fused_copy(self.model, example).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Live(fused, self.preprocessing)


@dataclass(frozen=True)
class Agreement:
    """Tell how near two predictions of the same images are: the largest difference of a probability, and equal answers."""

    largest_difference: float
    agreeing: int
    images: int

    @classmethod
    def of(cls, live: Tensor, exported: Tensor) -> Agreement:
        """Compare probabilities float32 [N, C]; a value that is not a number is as far off as can be."""
        largest = float((live - exported).abs().nan_to_num(nan=1.0).max())
        return cls(largest, int((live.argmax(1) == exported.argmax(1)).sum()), len(live))


@dataclass(frozen=True)
class Speed:
    """Milliseconds of a batch, medians of alternating measurements."""

    images: int
    live_ms: float
    exported_ms: float

    @property
    def ratio(self) -> float:
        """Tell how many times as fast the exported file is."""
        return self.live_ms / self.exported_ms


@dataclass(frozen=True)
class Proof:
    """Hold what was found of an exported file on real images."""

    source: str
    strict: Agreement
    whole: Agreement
    accuracy: PairedAccuracy | None
    speed: list[Speed]

    def record(self) -> dict[str, Any]:
        """Return plain values for `export.json`."""
        speed = [asdict(one) | {"ratio": one.ratio} for one in self.speed]
        return asdict(self) | {"speed": speed}


def prove(live: Live, network: Network, images: ProofImages, precision: str) -> Proof:
    """Compare a file with the live model.

    Raises:
        ZooError: it is further off than its precision allows.
    """
    strict, whole = _predictions(live, network, images)
    checks = Agreement.of(*strict), Agreement.of(*whole)
    _judge(*checks, precision)
    answers = [probabilities.argmax(1) for probabilities in whole]
    accuracy = paired_accuracy(answers[0], answers[1], torch.from_numpy(images.targets))
    return Proof(images.source, *checks, accuracy, _speeds(live.quickest(), network, images.image(0)))


def _judge(strict: Agreement, whole: Agreement, precision: str) -> None:
    """Refuse what is too far off.

    Raises:
        ZooError: with what was found and what is allowed.
    """
    where, todo = "zoo export", "nothing was written; another --format or --precision may do"
    if strict.largest_difference > STRICT[precision]:
        what = (
            f"differs from the live model by {strict.largest_difference:.1g} in a probability, {STRICT[precision]:g} is allowed"
        )
        raise ZooError(where, f"the exported file {what}", todo)
    for check in (strict, whole):
        if check.agreeing < AGREE[precision] * check.images:
            what = f"gives the live model's answer for {check.agreeing:,} of {check.images:,} images"
            raise ZooError(where, f"the exported file {what}, {AGREE[precision]:.0%} are asked for", todo)


def _predictions(live: Live, network: Network, images: ProofImages) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return probabilities (live, exported) of both checks, float32 [N, C] each."""
    found: dict[str, list[Tensor]] = {key: [] for key in ("live", "exported", "strict live", "strict exported")}
    side = resized_side(live.preprocessing.config)
    for start in range(0, len(images), BATCH):
        some = [images.image(place) for place in range(start, min(start + BATCH, len(images)))]
        batch = live.batch(some)
        found["live"].append(live.logits(batch))
        if not network.takes_pixels:
            found["exported"].append(network.logits(batch))
            continue
        found["exported"].append(torch.cat([network.logits(np.asarray(image)[None]) for image in some]))
        # BILINEAR: however they are brought to this size, both get the same pixels.
        squares = [image.resize((side, side), Image.Resampling.BILINEAR) for image in some]
        found["strict live"].append(live.logits(live.batch(squares)))
        found["strict exported"].append(network.logits(np.stack([np.asarray(image) for image in squares])))
    shares = {key: torch.cat(parts).softmax(1) for key, parts in found.items() if parts}
    whole = shares["live"], shares["exported"]
    return (shares["strict live"], shares["strict exported"]) if network.takes_pixels else whole, whole


def _speeds(live: Live, network: Network, image: Image.Image) -> list[Speed]:
    """Time one image and a batch of many; with pixels inside, the live model's preprocessing is timed with it."""
    sizes = [1, BATCH] if network.batch is None else [network.batch]
    return [_speed(live, network, [image] * size) for size in sizes]


def _speed(live: Live, network: Network, images: list[Image.Image]) -> Speed:
    batch = live.batch(images)
    if network.takes_pixels:
        pixels = np.stack([np.asarray(image) for image in images])
        pair = (lambda: live.logits(live.batch(images)).softmax(1)), (lambda: network.logits(pixels))
    else:
        pair = (lambda: live.logits(batch)), (lambda: network.logits(batch))
    medians = _alternate(pair)
    return Speed(len(images), medians[0] * 1000, medians[1] * 1000)


def _alternate(pair: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the median seconds of each call; they take turns, so that each meets the same machine."""
    for call in pair:
        call()
    times: list[list[float]] = [[] for _ in pair]
    began = time.perf_counter()
    while len(times[0]) < REPEATS and (len(times[0]) < 3 or time.perf_counter() - began < SECONDS):
        for call, found in zip(pair, times, strict=True):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in times]
