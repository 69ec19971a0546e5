"""Prove an exported file on real images: compare its probabilities, predictions and speed with the live model.

There are two checks, since preprocessing inside a graph differs from Pillow by 1 of 255 in a few pixels:

* strict: images that already have the size after resizing, so that neither model resizes them. fp32 must agree to the last
  digits, so that different pixels cannot hide a wrong weight.
* whole: the photographs as they are.

A file that takes normalized batches gets the same ones as the live model, so there the two checks are the same.

Both models run as in `zoo predict`, in its lanes. To compare their speed, they run on one thread in turns, and processor time
is measured: on a shared machine, the wall time would include waiting for other programs.
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

# Largest allowed difference of a probability in the strict check. fp32: the same sums in another order (measured: 2e-6).
# fp16 has 11 bits of mantissa. int8 has no bound: only its predictions are checked.
STRICT = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.0}
# Minimum share of images with the same predicted class, in both checks.
AGREE = {"fp32": 0.99, "fp16": 0.98, "int8": 0.90}
# Probabilities of the live and of the exported model for the same images, float32 [N, C] each.
Pair = tuple[Tensor, Tensor]
TODO = "nothing was written; try another --format or --precision"
# Images for the second measurement of speed; the first has one.
MANY = 64
# Maximum repetitions and seconds of each measurement of speed.
REPEATS, SECONDS = 100, 2.5


@dataclass(frozen=True)
class Exported:
    """An exported model, loaded again.

    Attributes:
        network: the network with all threads.
        alone: the network on one thread; the same object if torch's number of threads controls it.
        takes_photographs: whether it takes whole photographs; otherwise they are resized and cropped before.
        batch: batch size, None for any.
    """

    network: Network
    alone: Network
    takes_photographs: bool = False
    batch: int | None = None


def on_cpu(model: nn.Module, preprocessing: Preprocessing) -> TimmNetwork:
    """Return a model as `zoo predict` runs it on a CPU, even if this machine has a GPU."""
    network = TimmNetwork(model, preprocessing)
    network.model.cpu()
    network.device = torch.device("cpu")
    network.batch_size = max(1, min(MOST_IMAGES["cpu"], CPU_PIXELS // preprocessing.size**2))
    return network


@dataclass(frozen=True)
class Agreement:
    """The agreement of two predictions: the largest difference of a probability, and the number of equal classes."""

    largest_difference: float
    agreeing: int
    images: int

    @classmethod
    def of(cls, live: Tensor, exported: Tensor) -> Agreement:
        """Compare probabilities float32 [N, C]; NaN counts as the largest possible difference, 1."""
        largest = float((live - exported).abs().nan_to_num(nan=1.0).max())
        return cls(largest, int((live.argmax(1) == exported.argmax(1)).sum()), len(live))


@dataclass(frozen=True)
class Speed:
    """Milliseconds of processor time for some images on one thread, the minimum of alternating measurements."""

    images: int
    live_ms: float
    exported_ms: float

    @property
    def ratio(self) -> float:
        """Return the speed of the exported file relative to the live model."""
        return self.live_ms / self.exported_ms


@dataclass(frozen=True)
class Proof:
    """The results of an exported file on real images."""

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
        live: the live model; the measurement of speed switches it to its faster form for good.
        exported: the file.
        images: real images.
        precision: precision of the file: fp32, fp16 or int8.

    Raises:
        ZooError: the file differs more than its precision allows, or fails.
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
    """Turn a RuntimeError of torch into one line: elsewhere in an export, a RuntimeError means a full disk.

    Raises:
        ZooError: the file cannot be run on real images.
    """
    try:
        yield
    except RuntimeError as error:
        raise ZooError("zoo export", f"the exported file fails on real images: {first_line(error)}", TODO) from None


def _judge(strict: Agreement, whole: Agreement, precision: str) -> None:
    """Reject an exported file that differs too much.

    Raises:
        ZooError: it does; the error has the measured and the allowed value.
    """
    if strict.largest_difference > STRICT[precision]:
        what = f"differs from the live model by {strict.largest_difference:.1g} in a probability, more than {STRICT[precision]:g}"
        raise ZooError("zoo export", f"the exported file {what}", TODO)
    for check in (strict, whole):
        if check.agreeing < AGREE[precision] * check.images:
            what = f"gives the live model's answer for {check.agreeing:,} of {check.images:,} images"
            raise ZooError("zoo export", f"the exported file {what}, {AGREE[precision]:.0%} are required", TODO)


def _predictions(live: TimmNetwork, exported: Exported, images: ProofImages) -> tuple[Pair, Pair]:
    """Return the probabilities of the strict and of the whole check."""
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
            # Any interpolation would do, since both models get the same pixels.
            found += answers([image.resize((side, side), Image.Resampling.BILINEAR) for image in some])
        return [*zip(*found, strict=True)]

    rows = in_lanes(range(len(images)), work, live.batch_size, live.lanes)
    shares = [torch.stack(column).softmax(1) for column in zip(*rows, strict=True)]
    whole = shares[0], shares[1]
    return (shares[2], shares[3]) if exported.takes_photographs else whole, whole


def _speeds(live: TimmNetwork, exported: Exported, image: Image.Image) -> list[Speed]:
    """Time one image and many, or the fixed batch, up to the logits; resize and crop count only if the file has them."""
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
    """Return the batch sizes for `count` images."""
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
    """Return the minimum processor seconds of each call; they take turns, so that both run under the same conditions."""
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
