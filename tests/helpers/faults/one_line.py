"""What bad input is tried with, and what it must come to."""

from __future__ import annotations

import re

BACKBONE = "backbone: {name: test_resnet, weights: random}\n"
SYNTHETIC = "data: {kind: synthetic, train_images: 40, test_images: 8, classes: 2}\n"
REST = "image_size: 32\ntrain: {epochs: 1, batch_size: 8, precision: fp32, channels_last: false, threads: 1}\n"


def assert_one_line(code: int, errors: str, pattern: str) -> None:
    lines = errors.strip().splitlines()
    assert code == 2, errors
    assert len(lines) == 1, errors
    assert re.fullmatch(rf"error: {pattern}", lines[0]), lines[0]
    assert "Traceback" not in errors
