"""The settings of a benchmark, and the request that a worker process gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

TRAIN = "train"
INFER = "infer"


@dataclass(frozen=True)
class Settings:
    """The way models are measured. Rows measured with different settings are never mixed.

    Args:
        modes: `infer`, `train` or both, in the order in which they are measured.
        image_size: side of the images in pixels; None: the size the model was made for.
        batch_size: images of a step on one process; None: chosen by measuring.
        precision: `fp32`, `bf16`, `fp16`, or `auto`: the fastest.
        channels_last: the memory layout, or `auto`: the fastest.
        compile: whether the model is compiled by `torch.compile`.
        steps: steps that are timed; None: as many as the time limits in `measure.py` ask for.
        threads: CPU threads of a process; None: the cores divided by the processes.
        classes: outputs of the head.
        optimizer: timm's name of the optimizer.
        data: absolute path of the folder of images; None: made-up photographs.
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
        """Return `train` if training is measured, else `infer`: batch size, precision, layout and verdict are of this mode."""
        return TRAIN if TRAIN in self.modes else INFER


@dataclass(frozen=True)
class Request:
    """One model to measure, as it is sent to the worker processes.

    Args:
        model: timm's name.
        settings: how it is measured.
        files: absolute paths of the images to make batches of; none: made-up photographs.
    """

    model: str
    settings: Settings
    files: tuple[str, ...] = ()

    def fixed(self, known: Mapping[str, Any]) -> Request:
        """Return the request with settings that were chosen before in place of `auto`."""
        return replace(self, settings=replace(self.settings, **known))
