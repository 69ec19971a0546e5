"""Several processes: exact metrics, equal learning rates; if one process fails, all end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.faults import harness
from helpers.faults.harness import Server, free_port, kill, outcome, write_recipe
from safetensors.torch import load_file

from zoo.training import checkpoint

pytestmark = pytest.mark.slow


def test_every_layout_counts_the_same_hits(capsys: pytest.CaptureFixture[str]) -> None:
    # Five batch sizes on one to four processes; batches of 1 and 7 images take minutes.
    sizes = ["1", "7", "64", "100", "10007"] if harness.share() == 1 else ["64", "100", "10007"]
    found = set()
    for processes in (1, 2, 3, 4):
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        common = {**alone, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
        ranks = [
            subprocess.Popen(
                [sys.executable, str(harness.ROOT / "tests/helpers/faults/score.py"), *sizes],
                env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else alone,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(processes)
        ]
        texts = [rank.communicate(timeout=900)[0] for rank in ranks]
        lines = texts[0].splitlines()
        assert [rank.wait() for rank in ranks] == [0] * processes
        assert [line.split()[0] for line in lines] == sizes
        found |= {tuple(line.split()[1:]) for line in lines}
    assert len(found) == 1
    with capsys.disabled():
        print(f"\n{4 * len(sizes)} layouts over 10,007 images: {found.pop()[0]} hits in each")


def run(server: Server, folder: Path, processes: int, *overrides: str, injections: Any = ()) -> tuple[list[int], list[str]]:
    folder.mkdir()
    children = server.several(processes, "train", str(write_recipe(folder)), *overrides, injections=injections)
    return [server.wait(child) for child in children], [child.text for child in children]


def test_learning_rates_and_updates_are_the_same_however_a_batch_is_divided(server: Server, tmp_path: Path) -> None:
    # Without dropout and batch statistics, which depend on how a batch is divided.
    plain = [
        "backbone.drop_rate=0",
        "backbone.drop_path_rate=0",
        "finetune.batch_norm=frozen",
        "train.epochs=1",
        "optim.name=sgd",
    ]
    found = {}
    for processes in (1, 2):
        for accumulate in (1, 2, 4):
            folder = tmp_path / f"{processes}-{accumulate}"
            codes, texts = run(server, folder, processes, *plain, f"train.accumulate={accumulate}")
            assert codes == [0] * processes, texts
            path = folder / "runs" / "faults"
            found[processes, accumulate] = (outcome(path)["history"], load_file(path / "model" / "model.safetensors"))
    history, weights = found[1, 1]
    for other, theirs in found.values():
        assert [row["lr"] for row in other] == [row["lr"] for row in history]
        assert other[0]["train.loss"] == pytest.approx(history[0]["train.loss"], rel=1e-5)
        for key, value in weights.items():
            torch.testing.assert_close(theirs[key], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_loss_that_is_infinite_on_one_process_stops_all_before_the_update(server: Server, tmp_path: Path, rank: int) -> None:
    codes, texts = run(server, tmp_path / "run", 2, injections=[["bad_loss", 4, rank]])
    assert codes == [4, 4], texts
    errors = [line for text in texts for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: step 5: the loss or its gradient is not finite, in epoch 1")
    # The newest checkpoint is from before the failed step, and its weights are finite.
    _, state, _ = checkpoint.newest(tmp_path / "run" / "runs" / "faults" / "checkpoints")
    assert state.state["step"] == 3
    assert all(torch.isfinite(tensor).all() for tensor in state.tensors["model"].values())


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("what", ["raise", "kill", "hang"])
def test_one_process_in_trouble_ends_the_other(server: Server, tmp_path: Path, what: str, rank: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    arguments = ["train", str(write_recipe(folder)), "train.timeout=8"]
    children = server.several(2, *arguments, injections=[["at_step", 5, rank, what]])
    other = children[1 - rank]
    began = time.monotonic()
    code = server.wait(other)
    took = time.monotonic() - began
    kill([children[rank]])
    server.wait(children[rank])
    assert code == 1, other.text
    assert took < 60
    errors = [line for child in children for line in child.text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, errors
    assert ("injected" in errors[0]) == (what == "raise")
    if what != "raise":
        assert errors[0].startswith(
            f"error: launch: process {1 - rank}: another of the 2 processes ended, or did not answer for 8 s"
        )


def test_another_number_of_processes_takes_the_remaining_steps_after_a_warning(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    recipe = write_recipe(folder)
    children = server.several(2, "train", str(recipe), injections=[["at_step", 10, 1, "kill"]])
    [server.wait(child) for child in children]
    code, text = server.run("train", str(recipe), "--resume", "auto")
    assert code == 0, text
    assert "warning: processes: 2 when the run began, 1 now" in text
    assert outcome(folder / "runs" / "faults")["history"][-1]["step"] == harness.STEPS


def test_two_machines_train_to_the_bits_of_one(tmp_path: Path) -> None:
    """Two launchers of one process each, as on two machines with a shared folder, equal one launcher of two processes."""
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    # If OMP_NUM_THREADS is not set, torchrun sets it for a launcher of two processes, but not for a launcher of one. The bits
    # depend on it, so zoo must set it itself.
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | {
        "ACCELERATE_USE_CPU": "true"
    }
    hashes = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        arguments = ["scripts/train.py", str(write_recipe(folder))]
        if name == "one":
            commands = [[torchrun, "--nproc_per_node", "2", *arguments]]
        else:
            meet = ["--nnodes", "2", "--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(free_port())]
            commands = [[torchrun, *meet, "--node_rank", str(node), *arguments] for node in (0, 1)]
        started = [
            subprocess.Popen(
                command, cwd=harness.ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            for command in commands
        ]
        texts = [process.communicate(timeout=240)[0] for process in started]
        assert [process.returncode for process in started] == [0] * len(started), texts
        hashes.append(outcome(folder / "runs" / "faults"))
    assert hashes[0] == hashes[1]
