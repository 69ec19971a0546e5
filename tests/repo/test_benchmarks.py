"""Most comparisons in benchmarks/ run with small models and few steps."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.models import save_tiny

ROOT = Path(__file__).parents[2]
TINY = ["--size", "32", "--batch-size", "4", "--steps", "1", "--rounds", "1"]


def printed(script: str, *arguments: str) -> str:
    """Run a comparison; return what it prints."""
    command = [sys.executable, f"benchmarks/{script}.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize(
    "script",
    [
        "accuracy",
        "accuracy_images",
        "bench",
        "features",
        "forecast",
        "minutes",
        "predict",
        "rivals",
        "scout",
        "sweep",
        "training",
    ],
)
def test_the_help_shows_commands_of_this_script(script: str) -> None:
    assert f"python benchmarks/{script}.py " in printed(script, "--help")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "line"),
    [("training", "plain_loop "), ("batches", "zoo_batches "), ("checkpoints", "a checkpoint: median ")],
)
def test_a_comparison_of_training_runs(what: str, line: str, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"train/cat": 8, "train/dog": 8})
    assert f"\n{line}" in printed("training", what, "--data", str(root), "--models", "test_resnet", *TINY)


@pytest.mark.slow
def test_the_comparison_of_gradients_runs() -> None:
    lines = printed("gradients", "--models", "test_efficientnet", "--size", "32", "--batch-size", "4", "--times", "1")
    assert "PyTorch" in lines
    assert "\nthe whole model " in lines


@pytest.mark.slow
@pytest.mark.parametrize("what", ["timm", "auto", "repeat", "order"])
def test_a_comparison_of_benchmarks_runs(what: str) -> None:
    rounds = ["--rounds", "2"] if what == "repeat" else []
    assert "\ntest_resnet " in f"\n{printed('bench', what, '--models', 'test_resnet', *TINY, *rounds)}"


@pytest.mark.slow
@pytest.mark.parametrize(("what", "line"), [("parity", "12 of 12 classes agree"), ("speed", "median "), ("start", "imports ")])
def test_a_comparison_of_predictions_runs(what: str, line: str, image_folder: Callable[..., Path], tmp_path: Path) -> None:
    save_tiny(tmp_path / "run" / "model")
    root = image_folder({"cat": 6, "dog": 6})
    assert line in printed("predict", what, "--model", str(tmp_path / "run"), "--images", str(root), "--rounds", "1")


@pytest.mark.slow
def test_a_study_of_accuracy_runs_and_resumes(image_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = image_folder(
        {f"cuts/{split}/{name}": count for split, count in (("train", 34), ("val", 4)) for name in ("cat", "dog")}
    )
    file = tmp_path / "study.jsonl"
    words = ["run", "defaults", "--images", str(root), "--out", str(file), "--models", "lite0", "--sets", "cuts", "--seeds", "0"]
    first = printed("accuracy", *words, "--variants", "base")
    assert '"accuracy":' in first
    printed("accuracy", *words, "--variants", "base,batch 16")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["variant"] for row in rows] == ["base", "batch 16"]
    table = printed("accuracy", "table", str(file))
    assert "| variant | cuts | time |" in table
    assert "| batch 16 | " in table


@pytest.mark.slow
def test_runs_of_a_given_time_are_timed(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("backbone: {name: test_resnet, weights: random}\ndata: synthetic\nimage_size: 32\n")
    shown = printed("minutes", str(recipe), "--minutes", "0.3", "--rounds", "1").splitlines()
    assert shown[0].startswith("0.3 min: ")
    assert shown[1] in ("1 of 1 within 5%", "0 of 1 within 5%")


@pytest.mark.slow
def test_the_comparison_of_features_and_images_runs(image_folder: Callable[..., Path]) -> None:
    root = image_folder({"train/cat": 12, "train/dog": 12, "test/cat": 2, "test/dog": 2})
    small = ["--model", "test_resnet", "--size", "32", "--images", "24", "--epochs", "1", "--rounds", "1"]
    options = ["backbone.weights=random", "train.precision=fp32", "train.channels_last=false", "train.threads=1"]
    shown = printed("features", "speed", "--data", str(root), *small, "--set", *options)
    assert [line.split()[0] for line in shown.splitlines()[2:]] == ["images", "cold", "warm"]


@pytest.mark.slow
def test_the_comparison_of_sweeps_runs() -> None:
    arguments = ["overhead", "--models", "test_resnet", "--seeds", "0", "--epochs", "1", "--rounds", "1"]
    assert "1 of 1 models have the same bits\n" in printed("sweep", *arguments)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "line"), [("probe", "difference "), ("speed", "ratio "), ("time", "ratio ")])
def test_a_comparison_of_scouting_runs(what: str, line: str, image_folder: Callable[..., Path]) -> None:
    root = image_folder({f"train/{name}": 40 for name in ("cat", "dog", "owl")})
    small = ["--models", "tf_efficientnet_lite0", "--size", "32", "--rounds", "1", "--threads", "1"]
    options = ["train.threads=1", "train.precision=fp32", "train.channels_last=true"]
    assert line in printed("scout", what, "--data", str(root), *small, "--set", *options)


def test_the_order_of_a_scouting_is_that_of_the_probe() -> None:
    rows = [{"model": name, "status": "ok", "probe": probe, "control": False} for name, probe in (("a", 0.3), ("b", 0.9))]
    control = {"model": "a", "status": "ok", "probe": 0.5, "control": True}
    names = runpy.run_path(str(ROOT / "benchmarks" / "scout.py"))["names_by_probe"]([control, *rows])
    assert names == ["b", "a", "random weights (a)"]


@pytest.mark.slow
def test_the_comparison_of_forecasts_runs() -> None:
    changes = ["backbone.name=test_resnet", "backbone.weights=random", "image_size=32", "train.epochs=1", "train.threads=1"]
    assert "median of 1: ratio " in printed("forecast", "plan", "--rounds", "1", "--set", *changes)
