"""The options of an export, checked before anything heavy is imported."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, nearest

# The formats that zoo writes, with the ending of the file or folder.
FORMATS = {"timm": "-timm", "onnx": ".onnx", "torch": ".pt2"}
# The formats that timmx 0.10.1 writes, by their usual names; the values are the names of its commands.
TIMMX = {
    "coreml": "coreml",
    "coreai": "coreai",
    "executorch": "executorch",
    "litert": "litert",
    "ncnn": "ncnn",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
    "tflite": "litert",
    "torchscript": "torchscript",
}
PRECISIONS = ("fp32", "fp16", "int8")
PREPROCESS = ("inside", "outside")
DYNAMIC = "dynamic"


@dataclass(frozen=True)
class Choice:
    """The checked options of an export.

    Attributes:
        format: timm, onnx or torch.
        precision: fp32, fp16 or int8 of the network's weights and activations.
        preprocess: inside: the file takes photographs; outside: it takes a normalized batch.
        batch: batch size, None for any.
        image_size: side of the network's images in pixels, None for the model's own.
    """

    format: str
    precision: str = "fp32"
    preprocess: str = "outside"
    batch: int | None = None
    image_size: int | None = None

    @property
    def inside(self) -> bool:
        """Return whether the file takes photographs."""
        return self.preprocess == "inside"


def choose(
    format: str, precision: str = "fp32", preprocess: str | None = None, batch: int | str = DYNAMIC, image_size: int | None = None
) -> Choice:
    """Check the options of an export, given by the command line or Python, and return them.

    Raises:
        ZooError: an unknown value, or options that conflict.
    """
    if format not in FORMATS:
        raise _unknown(format)
    _among("--precision", precision, PRECISIONS)
    preprocess = preprocess or ("inside" if format == "onnx" else "outside")
    _among("--preprocess", preprocess, PREPROCESS)
    if image_size is not None and image_size < 1:
        raise ZooError("--image-size", f"must be at least 1, found {image_size}", "e.g. 224, in pixels")
    if format != "onnx" and precision != "fp32":
        raise ZooError("--precision", f"{format} is written in fp32 only", "--format onnx has fp16 and int8")
    if format == "timm" and (preprocess == "inside" or batch != DYNAMIC or image_size is not None):
        what = "a timm folder has no preprocessing, batch or size to set"
        raise ZooError("--format timm", what, "leave --preprocess, --batch and --image-size out")
    if format == "torch" and preprocess == "inside":
        what = "torch.export cannot handle images of any size in one program"
        raise ZooError("--preprocess inside", what, "use --format onnx, or --preprocess outside")
    return Choice(format, precision, preprocess, _batch(batch), image_size)


def _unknown(format: str) -> ZooError:
    close = nearest(format, [*FORMATS, *TIMMX], 1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return ZooError("--format", f"unknown '{format}'", f"{hint}one of {', '.join(FORMATS)}")


def _among(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ZooError(flag, f"unknown '{value}'", f"one of {', '.join(known)}")


def _batch(batch: int | str) -> int | None:
    """Return the batch size, None for any.

    Raises:
        ZooError: the value is neither a positive whole number nor `dynamic`.
    """
    if batch == DYNAMIC:
        return None
    if not str(batch).isdecimal() or int(batch) < 1:
        raise ZooError("--batch", f"expected a number of images or {DYNAMIC}, found '{batch}'", "e.g. 1")
    return int(batch)


def other_tool(format: str, backbone: str, classes: int, data: Mapping[str, Any], weights: Path) -> ZooError:
    """Return the error for a format that timmx writes, with the command to copy.

    Args:
        format: the name that the user gave.
        backbone: its timm name.
        classes: number of classes.
        data: timm's data configuration: `input_size`, `mean` and `std`, which timmx would otherwise take from the backbone.
        weights: the run's weights.
    """
    numbers = {f"--{key.replace('_', '-')}": map(str, data[key]) for key in ("input_size", "mean", "std") if key in data}
    command = shlex.join(
        [
            *("timmx", "export", TIMMX[format], backbone, "--checkpoint", str(weights)),
            *("--num-classes", str(classes), "--normalize", "--softmax"),
            *(word for flag, values in numbers.items() for word in (flag, *values)),
        ]
    )
    return ZooError(f"--format {format}", "zoo does not write this format, but timmx does", f"pip install timmx; {command}")
