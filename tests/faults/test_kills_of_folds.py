"""A cross-validation that is killed and resumed ends with the same bits as one that was not disturbed."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path

import pytest
from helpers.faults.harness import wait_until
from helpers.faults.sweeping import RECIPE, Sweep, outcomes

pytestmark = pytest.mark.slow

ARGUMENTS = ("tiny.yaml", "--folds", "3")
# Seconds within which all processes of a killed command end.
GONE_SECONDS = 60
FILES = ("predictions.csv", "folds.json")


def place(folder: Path) -> Path:
    folder.mkdir()
    (folder / "tiny.yaml").write_text(RECIPE)
    return folder


def test_killed_folds_end_as_those_that_nothing_happened_to(tmp_path: Path) -> None:
    whole, killed = place(tmp_path / "whole"), place(tmp_path / "killed")
    undisturbed = Sweep(whole, *ARGUMENTS, command="train")
    assert undisturbed.wait() == 0, undisturbed.text
    expected, folder = outcomes(whole / "runs" / "tiny-folds"), killed / "runs" / "tiny-folds"
    assert list(expected) == ["fold-0", "fold-1", "fold-2"]
    for number in (0, 1):
        run = Sweep(killed, *ARGUMENTS, command="train")
        there = folder / f"fold-{number}" / "checkpoints"
        assert wait_until(lambda there=there: any(there.glob("step-*")), 240), run.text
        run.kill()
        assert run.wait() == -signal.SIGKILL
        assert wait_until(lambda run=run: not run.processes(), GONE_SECONDS), run.text
    assert not (folder / "folds.json").exists()
    last = Sweep(killed, "--resume", "runs/tiny-folds", command="train")
    assert last.wait() == 0, last.text
    assert outcomes(folder) == expected
    for name in FILES:
        assert (folder / name).read_bytes() == (whole / "runs" / "tiny-folds" / name).read_bytes()
    with open(folder / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["file"] for row in rows}) == len(rows) == 300
    assert {row["split"] for row in rows} == {"val"}
    found = json.loads((folder / "folds.json").read_text())
    assert found["accuracy"] == sum(int(row["correct"]) for row in rows) / len(rows)
