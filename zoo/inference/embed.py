"""Run `zoo embed`: write the features of images before a model's last layer to a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from zoo.inference.classifier import with_names
from zoo.inference.image_paths import ImagePaths
from zoo.inference.load import load
from zoo.inference.predict import identity
from zoo.inference.tables import FEATURES, encoded
from zoo.inference.work import to_file, to_json

COLUMNS = ["filename", FEATURES, "error"]


def embed(model: str, images: ImagePaths, out: Path | None, *, resume: bool = False) -> None:
    """Write the features of images to a file, or print them as a JSON list.

    Raises:
        DataError: some images cannot be read; the others are written.
        ZooError: bad input.
        Stopped: a signal interrupted the work.
    """
    classifier = load(model)

    def rows_of(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        for filename, features, error in with_names(paths, classifier.stream_features):
            values = None if features is None else encoded(features.numpy())
            yield {"filename": filename, FEATURES: values, "error": error or None}

    if out is None:
        to_json(images, rows_of).check()
        return
    settings = {"model": identity(classifier), "columns": COLUMNS}
    to_file(out, COLUMNS, settings, images, rows_of, resume=resume).check()
