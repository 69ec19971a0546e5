"""Run exported files: ONNX with onnxruntime, `.pt2` with torch. Each file carries its classes and its preprocessing.

The notes in a file are texts under plain names, so that any program can read them: `names` (JSON), `input_size`, `mean`,
`std`, `interpolation`, `crop_pct`, `crop_mode`, `preprocess`, and more for human readers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.errors import ZooError, first_line
from zoo.inference.classifier import Classifier
from zoo.inference.preprocessing import Preprocessing
from zoo.inference.source import Source

# Name of the file within a .pt2 that holds the notes as JSON.
NOTES = "zoo.json"
# Probabilities are clamped to this minimum before their logarithm is taken.
LEAST = 1e-12
# Keys of timm's data configuration.
CONFIG = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
# Images per batch if the file accepts any number.
BATCH = 32
# The same for a file that takes photographs: a camera's photographs have 36 MB each.
PHOTOGRAPHS = 8
INSTALL = "pip install onnxruntime"


def notes_of(classes: tuple[str, ...], config: Mapping[str, Any], *, inside: bool, **more: str) -> dict[str, str]:
    """Return the notes of an exported file; values that are not text are written as JSON.

    Args:
        classes: in label order.
        config: timm's data configuration.
        inside: whether the file does the preprocessing, and thus takes photographs.
        more: further notes; empty ones are left out.
    """
    values = {"names": list(classes), **{key: config[key] for key in CONFIG if key in config}}
    texts = {key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    return texts | {"preprocess": "inside" if inside else "outside"} | {key: value for key, value in more.items() if value}


class ExportedNetwork:
    """A network in a file.

    Attributes:
        path: the file.
        notes: its notes, as `notes_of` makes them.
        classes: names in label order.
        config: timm's data configuration.
        takes_pixels: whether it takes photographs, uint8 [N, H, W, 3]; if not, a normalized batch, float32 [N, 3, T, T].
        batch: number of images per batch; None for any number.
    """

    def __init__(self, path: Path, notes: Mapping[str, str], batch: int | None) -> None:
        self.path, self.notes, self.batch = path, dict(notes), batch
        try:
            self.classes: tuple[str, ...] = tuple(json.loads(notes["names"]))
            self.config = {key: _value(notes[key]) for key in CONFIG if key in notes}
            self.takes_pixels = notes["preprocess"] == "inside"
        except (KeyError, ValueError) as error:
            raise ZooError(str(path), f"not exported by zoo: its metadata lacks {error}", "export the run again") from None

    def logits(self, batch: Tensor | np.ndarray) -> Tensor:
        """Return logits float32 [N, C] of a batch: uint8 [N, H, W, 3] if `takes_pixels`, else float32 [N, 3, T, T].

        A file that takes photographs outputs probabilities. Their logarithms are logits with the same softmax.
        """
        # Arrays from Pillow are read-only, which torch warns about: they are copied.
        rows = batch if isinstance(batch, Tensor) else torch.from_numpy(np.require(batch, requirements="W"))
        found = torch.cat([self._padded(some) for some in rows.split(self.batch or max(len(rows), 1))])
        return found.clamp(min=LEAST).log() if self.takes_pixels else found

    def _padded(self, rows: Tensor) -> Tensor:
        """Compute a batch; fill up a batch smaller than the file's fixed size with its last image."""
        lacking = (self.batch or len(rows)) - len(rows)
        full = torch.cat([rows, rows[-1:].expand(lacking, *rows.shape[1:])]) if lacking else rows
        return self.compute(full)[: len(rows)]

    def compute(self, rows: Tensor) -> Tensor:
        """Run the file on a batch of a size that it accepts, and return its output."""
        raise NotImplementedError


class OnnxNetwork(ExportedNetwork):
    """An ONNX file, run by onnxruntime on the CPU."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Open a file.

        Raises:
            ZooError: onnxruntime is missing, or cannot run the file.
        """
        try:
            import onnxruntime
        except ImportError:
            raise ZooError(str(path), "needs onnxruntime, which is not installed", INSTALL) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3  # errors only
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime does not export its own error classes
            raise ZooError(str(path), f"onnxruntime cannot run it: {first_line(error)}", "export the run again") from None
        inputs = self._session.get_inputs()[0]
        self._input = inputs.name
        batch = inputs.shape[0]
        super().__init__(path, self._session.get_modelmeta().custom_metadata_map, batch if isinstance(batch, int) else None)

    def compute(self, rows: Tensor) -> Tensor:
        """Run the file on a batch of a size that it accepts, and return its output."""
        return torch.from_numpy(self._session.run(None, {self._input: rows.contiguous().numpy()})[0])


class TorchNetwork(ExportedNetwork):
    """A `.pt2` file, run by torch on the CPU."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            ZooError: torch cannot run the file.
        """
        extra = {NOTES: ""}
        try:
            with open(path, "rb") as file:
                program = torch.export.load(file, extra_files=extra)
            notes = json.loads(extra[NOTES] or "{}")
            self._program = program.module()
        except Exception as error:  # zip, JSON and torch's own errors: torch documents none for damaged files
            raise ZooError(str(path), f"torch cannot load it: {first_line(error)}", "export the run again") from None
        batch = notes.get("batch", "dynamic")
        super().__init__(path, notes, int(batch) if batch.isdecimal() else None)

    def compute(self, rows: Tensor) -> Tensor:
        """Run the file on a batch of a size that it accepts, and return its output."""
        with torch.inference_mode():
            return self._program(rows.contiguous())


def open_exported(path: Path) -> ExportedNetwork:
    """Open an exported file according to its extension.

    Raises:
        ZooError: the file cannot be run.
    """
    return OnnxNetwork(path) if path.suffix.lower() == ".onnx" else TorchNetwork(path)


class FileNetwork:
    """An exported file as the network of a `Classifier`, which takes lists of images.

    Attributes:
        batch_size: images per call.
        lanes: two, so that one can decode images while the other runs the file with all threads.
    """

    lanes = 2

    def __init__(self, network: ExportedNetwork, preprocessing: Preprocessing | None) -> None:
        self.network, self.preprocessing = network, preprocessing
        self.batch_size = network.batch or (BATCH if preprocessing is not None else PHOTOGRAPHS)
        self._alone = threading.Lock()

    def expect_many(self) -> None:
        """Do nothing: an exported file cannot be made faster."""

    def logits(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Return logits float32 [B, C] of images uint8 [H, W, 3]; consecutive images of one size are run together."""
        if self.preprocessing is not None:
            images = self.preprocessing.normalize(torch.from_numpy(np.stack(pixels)))
            with self._alone:
                return self.network.logits(images)
        runs = (np.stack(list(same)) for _, same in groupby(pixels, key=lambda one: one.shape))
        with self._alone:
            return torch.cat([self.network.logits(run) for run in runs])

    def features(self, pixels: Sequence[np.ndarray]) -> Tensor:  # noqa: ARG002
        """Refuse: the file has no output for features.

        Raises:
            ZooError: always.
        """
        raise ZooError(str(self.network.path), "it outputs classes, not features", "use the run it was made from")

    def module(self) -> nn.Module:
        """Refuse: the file has no timm model.

        Raises:
            ZooError: always.
        """
        raise ZooError(str(self.network.path), "an exported file has no timm model", "load the run")


def load_exported(source: Source, tta: str = "none") -> Classifier:
    """Load an exported file for prediction; `tta` as for `load`.

    Raises:
        ZooError: the file cannot be run, or it takes photographs and `tta` asks for several views.
    """
    assert source.path is not None
    network = open_exported(source.path)
    preprocessing = None if network.takes_pixels else Preprocessing(network.config)
    return Classifier(source, network.classes, FileNetwork(network, preprocessing), preprocessing, tta=tta)


def _value(text: str) -> Any:
    """Return a note's value: lists and numbers are JSON, all else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
