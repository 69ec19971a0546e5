"""Prove an exported file on real images: its probabilities, its answers and its speed beside those of the live model.

Two checks, since a graph with photographs inside differs from Pillow by 1 of 255 in a few pixels:

* strict: images that have the size of the resize already, which both leave as they are. fp32 must agree to the last digits,
  so that a wrong weight cannot hide behind different pixels.
* whole: the photographs as they are.

A file that takes a normalized batch gets the same one as the live model, and both checks are one.

Both are networks as `zoo predict` runs them, and answer in its lanes. For their speed both run on one thread, in turns, and
processor time counts: on a machine that others use too, waiting for them would be what is measured.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zoo.deploy.onnx_pixels import resized_side
from zoo.deploy.paired import PairedAccuracy, paired_accuracy
from zoo.deploy.proof_images import ProofImages
from zoo.errors import ZooError, first_line
from zoo.inference.lanes import in_lanes
from zoo.inference.networks import CPU_PIXELS, MOST_IMAGES, Network, TimmNetwork
from zoo.inference.preprocessing import Preprocessing

# Largest difference of a probability in the strict check. fp32: the same sums in another order (measured: 2e-6).
# fp16 has 11 bits of mantissa. int8 has no bound of its own: its answers count.
STRICT = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.0}
# Share of images on which the answer must be the same, in both checks.
AGREE = {"fp32": 0.99, "fp16": 0.98, "int8": 0.90}
# Probabilities of the same images, float32 [N, C] each: of the live model and of the exported one.
Pair = tuple[Tensor, Tensor]
TODO = "nothing was written; another --format or --precision may do"
# Images of the second measurement of speed.
MANY = 64
# Times that each measurement of speed is repeated at most, and the seconds for each of its two halves.
REPEATS, SECONDS = 100, 2.5


@dataclass(frozen=True)
class Exported:
    """An exported model, opened again.

    Attributes:
        network: what computes, with all threads.
        alone: the same on one thread, where torch's number of threads does not decide that.
        takes_photographs: whether its images are whole ones; else they are resized and cropped before.
        batch: images of a batch, None for any number.
    """

    network: Network
    alone: Network
    takes_photographs: bool = False
    batch: int | None = None


def on_cpu(model: nn.Module, preprocessing: Preprocessing) -> TimmNetwork:
    """Return a model as `zoo predict` runs it on a CPU, whatever else this machine has."""
    network = TimmNetwork(model, preprocessing)
    network.model.cpu()
    network.device = torch.device("cpu")
    network.batch_size = max(1, min(MOST_IMAGES["cpu"], CPU_PIXELS // preprocessing.size**2))
    return network


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
    """Milliseconds of processor time of some images on one thread, the least of alternating measurements."""

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


def prove(live: TimmNetwork, exported: Exported, images: ProofImages, precision: str) -> Proof:
    """Compare a file with the live model.

    Args:
        live: the model; from here on its faster form is used.
        exported: the file.
        images: real ones.
        precision: of the file: fp32, fp16 or int8.

    Raises:
        ZooError: it is further off than its precision allows, or fails.
    """
    with _failing():
        strict, whole = _predictions(live, exported, images)
    checks = Agreement.of(*strict), Agreement.of(*whole)
    _judge(*checks, precision)
    answers = [probabilities.argmax(1) for probabilities in whole]
    accuracy = paired_accuracy(answers[0], answers[1], torch.from_numpy(images.targets))
    with _failing():
        speed = _speeds(live, exported, images.image(0))
    return Proof(images.source, *checks, accuracy, speed)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """Turn torch's error into one line: elsewhere in an export a RuntimeError is one of a full disk.

    Raises:
        ZooError: the file cannot be run on real images.
    """
    try:
        yield
    except RuntimeError as error:
        raise ZooError("zoo export", f"the exported file fails on real images: {first_line(error)}", TODO) from None


def _judge(strict: Agreement, whole: Agreement, precision: str) -> None:
    """Refuse what is too far off.

    Raises:
        ZooError: with what was found and what is allowed.
    """
    if strict.largest_difference > STRICT[precision]:
        what = (
            f"differs from the live model by {strict.largest_difference:.1g} in a probability, {STRICT[precision]:g} is allowed"
        )
        raise ZooError("zoo export", f"the exported file {what}", TODO)
    for check in (strict, whole):
        if check.agreeing < AGREE[precision] * check.images:
            what = f"gives the live model's answer for {check.agreeing:,} of {check.images:,} images"
            raise ZooError("zoo export", f"the exported file {what}, {AGREE[precision]:.0%} are asked for", TODO)


def _predictions(live: TimmNetwork, exported: Exported, images: ProofImages) -> tuple[Pair, Pair]:
    """Return the probabilities of both checks: strict, whole."""
    side = resized_side(live.preprocessing.config)

    def answers(some: list[Image.Image]) -> list[Tensor]:
        """Return logits [B, C] of the live model and of the exported one."""
        pixels = [live.preprocessing.pixels(image) for image in some]
        given = [np.asarray(image) for image in some] if exported.takes_photographs else pixels
        return [live.logits(pixels), exported.network.logits(given)]

    def work(places: list[int]) -> list[tuple[Tensor, ...]]:
        some = [images.image(place) for place in places]
        found = answers(some)
        if exported.takes_photographs:
            # BILINEAR: however they are brought to this size, both get the same pixels.
            found += answers([image.resize((side, side), Image.Resampling.BILINEAR) for image in some])
        return [*zip(*found, strict=True)]

    rows = in_lanes(range(len(images)), work, live.batch_size, live.lanes)
    shares = [torch.stack(column).softmax(1) for column in zip(*rows, strict=True)]
    whole = shares[0], shares[1]
    return (shares[2], shares[3]) if exported.takes_photographs else whole, whole


def _speeds(live: TimmNetwork, exported: Exported, image: Image.Image) -> list[Speed]:
    """Time one image and many, from the image to the logits; where it is not in the file, without resize and crop."""
    live.expect_many()
    exported.alone.expect_many()
    sizes = [1, MANY] if exported.batch is None else [exported.batch]
    with _one_thread():
        return [_speed(live, exported, image, size) for size in sizes]


def _speed(live: TimmNetwork, exported: Exported, image: Image.Image, count: int) -> Speed:
    pixels = live.preprocessing.pixels(image)
    given = np.asarray(image) if exported.takes_photographs else pixels
    prepared = (lambda: live.preprocessing.pixels(image)) if exported.takes_photographs else (lambda: pixels)
    pair = (
        lambda: [live.logits([prepared() for _ in range(size)]) for size in _sizes(count, live.batch_size)],
        lambda: [exported.alone.logits([given] * size) for size in _sizes(count, exported.alone.batch_size)],
    )
    seconds = alternate(pair)
    return Speed(count, seconds[0] * 1000, seconds[1] * 1000)


def _sizes(count: int, batch: int) -> list[int]:
    """Return the sizes of the batches of some images."""
    return [min(batch, count - start) for start in range(0, count, batch)]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def alternate(pair: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the least seconds of processor time of each call; they take turns, so that each meets the same machine."""
    for call in pair:
        call()
    times: list[list[float]] = [[] for _ in pair]
    began = time.perf_counter()
    while len(times[0]) < REPEATS and (len(times[0]) < 3 or time.perf_counter() - began < SECONDS):
        for call, found in zip(pair, times, strict=True):
            start = time.process_time()
            call()
            found.append(time.process_time() - start)
    return [min(found) for found in times]
