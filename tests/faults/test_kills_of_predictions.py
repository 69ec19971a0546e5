"""SIGKILL at any moment of zoo predict, zoo eval and zoo export leaves no half file, and --resume loses no row."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.models import save_tiny
from PIL import Image

pytestmark = pytest.mark.slow

IMAGES = 3000
KILLS = 6


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kills")
    save_tiny(place / "model", ("a", "b", "c"))
    draw = np.random.default_rng(0)
    for number in range(IMAGES):
        path = place / "photos" / "abc"[number % 3] / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    return place


def start(place: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "zoo", *arguments]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(process: subprocess.Popen[bytes], after: float) -> None:
    time.sleep(after)
    process.kill()
    process.wait()


def begun(process: subprocess.Popen[bytes], journal: Path) -> None:
    """Wait until rows are written, or the process has ended."""
    while not (journal.exists() and journal.stat().st_size > 1000) and process.poll() is None:
        time.sleep(0.01)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_prediction_that_is_killed_again_and_again_ends_with_every_row(place: Path) -> None:
    draw, command = random.Random(0), ["predict", "model", "photos", "--out", "out.csv"]
    out, journal = place / "out.csv", place / ".out.csv.rows"
    resume: list[str] = []
    for _ in range(KILLS):
        process = start(place, *command, *resume)
        begun(process, journal)
        killed(process, draw.uniform(0, 0.4))
        if out.exists():
            assert len(rows(out)) == IMAGES
        if not journal.exists():
            break
        resume = ["--resume"]
    if journal.exists():
        assert start(place, *command, *resume).wait() == 0
    found = [row["filename"] for row in rows(out)]
    assert sorted(found) == sorted(str(path.relative_to(place)) for path in (place / "photos").rglob("*.png"))
    assert len(set(found)) == IMAGES
    assert not journal.exists()


@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.5])
def test_an_evaluation_writes_its_folder_whole_or_not_at_all(place: Path, after: float) -> None:
    out = place / f"scores-{after}"
    process = start(place, "eval", "model", "--data", "photos", "--out", out.name)
    time.sleep(3)
    killed(process, after)
    if out.exists():
        assert json.loads((out / "eval.json").read_text())["n"] == IMAGES
        assert {"eval.json", "predictions.csv", "predictions.safetensors", "confusion.svg"} <= {p.name for p in out.iterdir()}


@pytest.mark.parametrize("after", [0.0, 0.7, 1.4, 2.1])
def test_an_export_appears_when_it_is_proven(place: Path, after: float) -> None:
    target = place / f"out-{after}.pt2"
    process = start(place, "export", "model", "--format", "torch", "--check", "photos", "--out", target.name)
    staging = place / f".{target.name}.tmp"
    while not staging.exists() and not target.exists() and process.poll() is None:
        time.sleep(0.01)
    killed(process, after)
    if target.exists():
        assert start(place, "predict", target.name, "photos/a/0000.png").wait() == 0
