"""The settings of a benchmark, and the request that a worker process gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

TRAIN = "train"
INFER = "infer"


@dataclass(frozen=True)
class Settings:
    """The settings of a benchmark. Rows measured with different settings are never mixed.

    Args:
        modes: `infer`, `train` or both, in the order in which they are measured.
        image_size: side of the images in pixels, or None for the model's native size.
        batch_size: images per step and process, or None to choose it by measuring.
        precision: `fp32`, `bf16`, `fp16`, or `auto` for the fastest.
        channels_last: whether the memory format is channels_last, or `auto` for the faster one.
        compile: whether the model is compiled by `torch.compile`.
        steps: number of timed steps, or None for the limits in `measure.py`.
        threads: CPU threads per process, or None for the cores divided by the processes.
        classes: outputs of the head.
        optimizer: timm's name of the optimizer.
        data: absolute path of the folder of images, or None for made-up photographs.
    """

    modes: tuple[str, ...] = (INFER, TRAIN)
    image_size: int | None = None
    batch_size: int | None = None
    precision: str = "auto"
    channels_last: bool | str = "auto"
    compile: bool = False
    steps: int | None = None
    threads: int | None = None
    classes: int = 1000
    optimizer: str = "sgd"
    data: str | None = None

    @property
    def main_mode(self) -> str:
        """Return `train` if training is measured, else `infer`; it decides batch size, precision, memory format and verdict."""
        return TRAIN if TRAIN in self.modes else INFER


@dataclass(frozen=True)
class Request:
    """One model to measure, as it is sent to the worker processes.

    Args:
        model: timm's name.
        settings: the settings of the benchmark.
        files: absolute paths of the images for the batches; if empty, made-up photographs are used.
    """

    model: str
    settings: Settings
    files: tuple[str, ...] = ()

    def fixed(self, known: Mapping[str, Any]) -> Request:
        """Return the request with the settings that were chosen before."""
        return replace(self, settings=replace(self.settings, **known))
