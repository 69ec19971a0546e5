"""Runs of four backbones, three seeds each."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.finished_runs import finished_run, right_answers

# Accuracy, minutes of training and images/s of each backbone: `good` and `alike` are nearly equal.
BACKBONES = {
    "good.tv_in1k": (0.9, 6.0, 100.0),
    "alike.a1_in1k": (0.895, 3.0, 200.0),
    "worse.in1k": (0.6, 2.0, 300.0),
    "worst|<script>.in1k": (0.4, 8.0, 50.0),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for backbone, (accuracy, minutes, speed) in BACKBONES.items():
        for seed in range(3):
            right = right_answers(3 * len(backbone) + seed, 200, accuracy)
            finished_run(
                tmp_path / "runs" / f"{backbone[:5]}-{seed}", right, backbone=backbone, seed=seed, minutes=minutes, speed=speed
            )
    return tmp_path / "runs"
