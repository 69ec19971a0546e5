"""Make values to draw, and read the texts of a picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"
# Class names that SVG, matplotlib or a font may not handle.
ODD = ["a&b<c>", "$x$", "日本語", 'quote"s', "50% _{}^\\", "lone\udcff\x01\n", "a very long name of a class that ends in one"]


def history(epochs: int, *splits: str, every: int = 1) -> list[dict[str, float | None]]:
    rows: list[dict[str, float | None]] = []
    for epoch in range(1, epochs + 1):
        row: dict[str, float | None] = {"epoch": epoch, "step": 10 * epoch, "lr": 1e-3 / epoch, "seconds": 1.0}
        for split in ("train", *splits):
            due = split == "train" or epoch % every == 0 or epoch == epochs
            row |= {f"{split}.loss": 2 / epoch if due else None, f"{split}.accuracy": 1 - 0.5 / epoch if due else None}
        rows.append(row)
    return rows


def counts(classes: int) -> np.ndarray:
    """Return a confusion matrix int64 [C, C] with most counts on its diagonal."""
    return np.random.default_rng(0).integers(0, 3, (classes, classes)) + 30 * np.eye(classes, dtype=np.int64)


def texts(path: Path) -> list[str]:
    """Return the texts of an SVG picture; fail if it is not XML."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
