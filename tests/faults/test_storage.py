"""Full disks, damaged files, and two runs in one folder."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from helpers.faults import harness
from helpers.faults.harness import Server, outcome, write_recipe

from zoo.errors import ZooError
from zoo.training import checkpoint
from zoo.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_full_disk_is_one_line_and_leaves_whole_checkpoints(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path)
    code, text = server.run("train", str(recipe))
    assert code == 0, text
    # A run needs space for three checkpoints: the last, the best, and the one being written. All sizes are smaller than that.
    one = max(size_of(folder) for folder in (tmp_path / "runs" / "faults" / "checkpoints").glob("step-*"))
    shutil.rmtree(tmp_path / "runs")
    sizes = [max(8192, one * part * 14 // 100) for part in range(20)]
    checked = kept = 0
    for number, size in enumerate(sizes):
        code, text = server.run("train", str(recipe), injections=[["small_disk", str(tmp_path / "runs"), size, number % 5 == 0]])
        if code == 77:
            pytest.skip("user namespaces are not allowed here")
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        assert (code, len(errors)) == (5, 1), (size, text)
        assert "Traceback" not in text
        assert "bytes" in errors[0], errors[0]
        assert "staged 0" in text
        kept += "whole step-" in text
        checked += "the run needs about" in text
    assert kept
    assert checked
    with capsys.disabled():
        print(
            f"\n{len(sizes)} full disks: one line and exit code 5 each; {checked} refused before the run, {kept} kept a checkpoint"
        )


def test_any_flipped_byte_and_any_cut_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {f"layer{number}.weight": torch.randn(40, 30, generator=generator) for number in range(6)}
    state = {"step": 7, "history": [{"epoch": 1, "val.accuracy": 0.5}], "best": [1, 7, 0.5]}
    folder = checkpoint.save(tmp_path, 7, Checkpoint({"model": tensors, "optimizer": tensors}, state))
    files = sorted(folder.iterdir())
    draw = random.Random(0)
    for number in range(1000):
        file = draw.choice(files)
        content = file.read_bytes()
        if number % 4:
            place = draw.randrange(len(content))
            damaged = bytearray(content)
            damaged[place] ^= 1 << draw.randrange(8)
            file.write_bytes(damaged)
        else:
            file.write_bytes(content[: draw.randrange(len(content))])
        with pytest.raises(ZooError, match="damaged"):
            checkpoint.load(folder)
        file.write_bytes(content)
    checkpoint.load(folder)
    with capsys.disabled():
        print("\n1,000 byte flips and cuts of checkpoint files: 1,000 found")


def test_two_runs_never_share_a_folder(server: Server, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    both = [server.start("train", str(recipe)) for _ in range(2)]
    assert [server.wait(child) for child in both] == [0, 0]
    assert outcome(tmp_path / "runs" / "faults") == outcome(tmp_path / "runs" / "faults-2")


def test_a_run_in_use_is_not_resumed(server: Server, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    run = tmp_path / "runs" / "faults"
    first = server.start("train", str(recipe), "train.epochs=200", injections=[["slow_saves", 0.02]])
    assert harness.wait_until(lambda: checkpoint.steps(run / "checkpoints"), 60)
    code, text = server.run("train", str(recipe), "train.epochs=200", "--resume", str(run))
    harness.kill([first])
    server.wait(first)
    assert code == 2
    assert text.splitlines()[-1].startswith(f"error: --resume: {run} in use by pid {first.pid} on ")
    code, text = server.run("train", str(recipe), "--resume", str(run), "train.epochs=200", "optim.lr=1")
    assert (code, "recipe differs: optim.lr 0.002 -> 1.0" in text) == (2, True)
