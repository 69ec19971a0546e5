"""The examples of docs/adding.md: each diff applies to a copy of zoo, and one run uses them all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
DIFFS = re.findall(r"^```diff\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
# The recipe lines of the page, and the parts of them that the test replaces so that its run is short.
LINES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SHOWN = ("images.npz", "https://example.org/resnet18.pth", "name: resnet18,")
RECIPE = """\
name: added
image_size: 32
train: {epochs: 1, batch_size: 8, precision: fp32, channels_last: false, accumulate: 1, threads: 1}
"""


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy zoo and apply every diff to the copy."""
    place = tmp_path_factory.mktemp("changed")
    shutil.copytree(ROOT / "zoo", place / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    for diff in DIFFS:
        command = ["git", "apply", "--recount", "-C1", "-"]
        done = subprocess.run(command, input=diff, text=True, cwd=place, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr + diff
    return place


def run(place: Path, *words: str) -> str:
    environment = os.environ | {
        "PYTHONPATH": str(place),
        "ZOO_CACHE": str(place / "cache"),
        "TORCH_HOME": str(place / "downloads"),
    }
    done = subprocess.run([sys.executable, "-m", "zoo", *words], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_example_changes_one_file() -> None:
    assert len(DIFFS) == 6
    for diff in DIFFS:
        assert len(re.findall(r"^\+\+\+ ", diff, re.MULTILINE)) == 1


@pytest.mark.slow
def test_the_examples_work_together(changed: Path) -> None:
    drawn = np.random.default_rng(0)
    parts = {f"{part}_images": drawn.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8) for part in ("train", "test")}
    np.savez(changed / "images.npz", **parts, **{f"{part}_labels": np.arange(40) % 4 for part in ("train", "test")})
    torch.save(timm.create_model("test_resnet").state_dict(), changed / "weights.pth")
    recipe = RECIPE + "".join(LINES)
    for shown, real in zip(SHOWN, ("images.npz", (changed / "weights.pth").as_uri(), "name: test_resnet,"), strict=True):
        assert shown in recipe
        recipe = recipe.replace(shown, real)
    (changed / "added.yaml").write_text(recipe, encoding="utf-8")
    console = run(changed, "train", "added.yaml")
    assert "url file://" in console
    assert "polynomial" in console
    folder = changed / "runs" / "added"
    assert 0 <= json.loads((folder / "result.json").read_text())["test"]["balanced_accuracy"] <= 1
    assert "balanced_accuracy" in (folder / "metrics.jsonl").read_text()
    assert "print the class names" in run(changed, "--help")
    assert run(changed, "classes", str(folder)).split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("tool", [["check"], ["format", "--check"]])
def test_the_examples_are_in_the_style_of_the_house(changed: Path, tool: list[str]) -> None:
    shutil.copy(ROOT / "pyproject.toml", changed)
    command = [sys.executable, "-m", "ruff", *tool, "--quiet", "zoo"]
    done = subprocess.run(command, cwd=changed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
