"""SIGKILL at any moment of `zoo predict`, `zoo eval` and `zoo export` leaves no incomplete file, and --resume loses no row."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.models import save_tiny
from PIL import Image

from zoo.system.files import digest, remove

pytestmark = pytest.mark.slow

IMAGES = 3000
KILLS = 6
EXPORT = ("export", "model", "--format", "torch", "--check", "photos")


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


def appeared(process: subprocess.Popen[bytes], hidden: Path) -> bool:
    """Wait until a process writes under a hidden name; return False if it ends before that."""
    while not hidden.exists():
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    return True


def test_an_evaluation_writes_its_folder_whole_or_not_at_all(place: Path) -> None:
    out, staging = place / "scores", place / ".scores.tmp"
    writing = 0
    for after in (0.0, 0.02, 0.1, 0.3):
        remove(staging)
        process = start(place, "eval", "model", "--data", "photos", "--out", out.name)
        assert appeared(process, staging)
        killed(process, after)
        # If the staging folder is still there, the kill came while it was written.
        writing += staging.exists()
        if out.exists():
            assert_whole(out)
    assert writing
    assert start(place, "eval", "model", "--data", "photos", "--out", out.name).wait() == 0
    assert_whole(out)
    assert not staging.exists()


def assert_whole(scores: Path) -> None:
    assert json.loads((scores / "eval.json").read_text())["n"] == IMAGES
    assert {path.name for path in scores.iterdir()} == {
        *("eval.json", "predictions.csv", "predictions.safetensors", "confusion.svg")
    }


def test_an_export_appears_when_it_is_proven(place: Path) -> None:
    target = place / "out.pt2"
    record, staging = place / "out.pt2.export.json", place / ".out.pt2.tmp"
    writing = 0
    for after in (0.0, 0.5, 2.0, 4.0):
        remove(staging)
        process = start(place, *EXPORT, "--out", target.name)
        assert appeared(process, staging)
        killed(process, after)
        writing += staging.exists()
        if target.exists():
            assert start(place, "predict", target.name, "photos/a/0000.png").wait() == 0
        # The record of the checks is written after the exported file, and is never there without it.
        assert target.exists() or not record.exists()
    assert writing
    assert start(place, *EXPORT, "--out", target.name).wait() == 0
    assert digest(target) == json.loads(record.read_text())["sha256"]
    assert not staging.exists()


def test_a_kill_between_a_file_and_its_proof_is_seen_and_mended(place: Path) -> None:
    """After the kill, the new file is there with the record of the earlier one, which has another digest."""
    target, record = place / "again.pt2", place / "again.pt2.export.json"
    assert start(place, *EXPORT, "--out", target.name).wait() == 0
    stale = record.read_text()
    between = f"""
import os, signal
rename = os.replace
def replace(source, to):
    rename(source, to)
    if str(to).endswith("{target.name}"):
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
from zoo.cli import main
main({[*EXPORT, "--batch", "2", "--out", target.name]!r})
"""
    killed_there = subprocess.run([sys.executable, "-c", between], cwd=place, capture_output=True, check=False)
    assert killed_there.returncode == -signal.SIGKILL, killed_there.stderr
    assert record.read_text() == stale
    assert json.loads(stale)["sha256"] != digest(target)
    assert start(place, *EXPORT, "--out", target.name).wait() == 0
    assert json.loads(record.read_text())["sha256"] == digest(target)
    assert sorted(path.name for path in place.glob(".again*")) == []
