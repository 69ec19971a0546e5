"""Benchmarks of real models with `zoo bench`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.benches import rows

from zoo.commands import bench

ROOT = Path(__file__).parents[2]

TINY = ["--image-size", "64", "--batch-size", "4", "--steps", "3", "--threads", "1", "--precision", "fp32"]


@pytest.mark.slow
def test_a_real_model_is_measured(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"train/cat": 6, "train/dog": 6})
    out = tmp_path / "out"
    arguments = ["test_resnet", *TINY, "--data", str(root), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "scripts/benchmark.py", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = rows(out)
    assert {row["status"] for row in found.values()} == {"ok"}
    row = found["test_resnet"]
    assert row["param_count"] == 0.47
    assert 0 < row["gmacs"] < 0.1
    for mode in ("infer", "train"):
        assert row[f"{mode}_steps"] == 3
        assert row[f"{mode}_batch_size"] == 4
        assert row[f"{mode}_img_size"] == 64
        assert row[f"{mode}_samples_per_sec"] == pytest.approx(4000 / row[f"{mode}_step_time"], rel=0.01)
        assert row[f"{mode}_samples_per_sec_p10"] <= row[f"{mode}_samples_per_sec"] <= row[f"{mode}_samples_per_sec_p90"]
        assert 0 < row[f"{mode}_peak_share"] < 1.5
        assert 0 <= row[f"{mode}_data_share"] <= 1
        assert row[f"{mode}_end_to_end_samples_per_sec"] < row[f"{mode}_data_samples_per_sec"]
    assert row["verdict"] in ("model-bound", "data-bound", "busy machine")
    assert row["overhead_seconds"] < 30
    assert (out / "throughput.svg").is_file()


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("ZOO_FAULTS") != "all", reason="takes five minutes; ZOO_FAULTS=all runs it")
def test_fifty_models_and_one_of_each_misfortune(tmp_path: Path) -> None:
    small = ["test_resnet", "test_vit", "test_efficientnet", "mobilenetv3_*", "lcnet_*", "tinynet_*", "mnasnet_*", "regnet?_00?"]
    models = bench.expand([*small, "efficientnet_lite?", "ghostnet_*", "resnet1*"])[:47]
    killed = "resnet26"
    command = [*models[:10], "no_such_model", *models[10:20], "vit_gigantic_patch14_224", *models[20:30], killed, *models[30:]]
    assert len(command) == 50
    arguments = ["--image-size", "64", "--batch-size", "2", "--steps", "2", "--precision", "fp32", "--channels-last", "off"]
    # A limit on the address space that is smaller than the large model's weights.
    limit = ["bash", "-c", 'ulimit -v 6000000; exec "$@"', "-"]
    process = subprocess.Popen(
        [*limit, sys.executable, "-m", "zoo", "bench", *command, *arguments, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not _kill(f"zoo {killed}"):
        time.sleep(0.01)
    output, _ = process.communicate(timeout=1200)
    found = rows(tmp_path)
    status = {name: row["status"] for name, row in found.items()}
    assert process.returncode == 1, output
    assert list(found) == command
    assert status["no_such_model"] == "unknown"
    assert status["vit_gigantic_patch14_224"] == "oom"
    assert status[killed] == "killed"
    assert sum(value == "ok" for value in status.values()) == 47, status


def _kill(title: str) -> bool:
    """Kill the measuring process with this title if it has started, and return whether it had."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() == title[:15]:
                os.kill(int(path.parent.name), signal.SIGKILL)
                return True
        except OSError:
            continue
    return False


@pytest.mark.slow
def test_processes_share_the_work_for_real(tmp_path: Path) -> None:
    arguments = ["test_resnet", *TINY, "--processes", "1,2", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads((tmp_path / "results.json").read_text())
    assert [row["processes"] for row in found] == [1, 2]
    assert 0.1 < found[1]["efficiency"] < 2


@pytest.mark.slow
def test_launchers_start_it_too(tmp_path: Path) -> None:
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command = [*launcher, "scripts/benchmark.py", "test_resnet", *TINY, "--mode", "infer", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert [row["processes"] for row in json.loads((tmp_path / "results.json").read_text())] == [2]
