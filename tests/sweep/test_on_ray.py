"""Sweeps on a Ray cluster of two nodes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from helpers.faults.harness import wait_until
from helpers.faults.sweeping import RECIPE, Sweep, outcomes
from helpers.sweeps import Place

from zoo.errors import ZooError
from zoo.sweep import on_ray
from zoo.sweep.grid import runs_of
from zoo.sweep.on_ray import RayPool


def test_without_ray_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ZooError) as error:
        RayPool(None, None)
    assert str(error.value) == "--on: ray is not installed (pip install 'zoo-trainer[ray]')"


@pytest.mark.parametrize(
    ("nodes", "threads", "jobs", "asked"),
    [
        # A head node without cores, and two machines: one run fits on the smaller one, two fit on the larger one.
        ([{}, {"CPU": 4.0}, {"CPU": 8.0}], None, 3, 4),
        ([{}, {"CPU": 4.0}, {"CPU": 8.0}], 3, 1 + 2, 3),
        ([{"CPU": 8.0}, {"CPU": 8.0}], 1, 16, 1),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], 2, 2, 2),
        ([{}], None, 1, 1),
        ([{"CPU": 2.0}], 4, 1, 4),
    ],
)
def test_as_many_runs_go_at_a_time_as_there_is_room_for(
    place: Place, monkeypatch: pytest.MonkeyPatch, nodes: list[dict[str, float]], threads: int | None, jobs: int, asked: int
) -> None:
    ray = MagicMock()
    lost = {"Alive": False, "Resources": {"CPU": 99.0}}
    ray.nodes.return_value = [*({"Alive": True, "Resources": {"memory": 1e9, **each}} for each in nodes), lost]
    monkeypatch.setattr(on_ray.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(on_ray.importlib, "import_module", lambda name: ray)
    pool = RayPool(None, None, threads)
    assert pool.jobs == jobs
    assert RayPool(7, None, threads).jobs == 7
    (run,) = runs_of(place.grid(seeds=[0], overrides=[f"train.threads={threads or 'auto'}"]))
    pool.start(run, None)
    given = ray.remote.return_value.return_value.options.call_args.kwargs
    assert (given["num_cpus"], given["num_gpus"]) == (asked, int(any("GPU" in each for each in nodes)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Start a Ray cluster of two nodes with one core each; sweeps find it by RAY_ADDRESS."""
    utils = pytest.importorskip("ray.cluster_utils")
    started = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    started.add_node(num_cpus=1)
    started.wait_for_nodes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", started.address)
        yield started
    started.shutdown()


@pytest.mark.slow
def test_without_a_cluster_a_line_says_how_to_start_one(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {"RAY_TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "zoo", "sweep", "tiny.yaml", "test_resnet", "--on", "ray"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --on: no Ray cluster is running (on one machine: ray start --head; ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_cluster_gives_the_rows_and_bits_of_this_machine_and_goes_on(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    arguments = ("tiny.yaml", "test_resnet", "--seeds", "0,1,2")
    here = Sweep(tmp_path, *arguments, "--out", "here")
    assert here.wait() == 0, here.text
    there = Sweep(tmp_path, *arguments, "--out", "there", "--on", "ray")
    # The first sweep is killed, the second one is stopped by a signal, and the third one may finish.
    assert wait_until(lambda: len(list((tmp_path / "there").glob("*/checkpoints/step-*"))) >= 1, 120), there.text
    there.kill()
    there.wait()
    again = Sweep(tmp_path, *arguments, "--out", "there", "--on", "ray")
    before = checkpoints(tmp_path / "there")
    assert wait_until(lambda: checkpoints(tmp_path / "there") - before or again.process.poll() is not None, 120), again.text
    again.kill(number=signal.SIGTERM)
    assert again.wait(60) in (0, 75), again.text
    last = Sweep(tmp_path, *arguments, "--out", "there", "--on", "ray")
    assert last.wait() == 0, last.text
    assert outcomes(tmp_path / "there") == outcomes(tmp_path / "here")
    assert {path.name for path in (tmp_path / "there").iterdir() if path.is_dir()} == {*outcomes(tmp_path / "here"), "logs"}


def checkpoints(folder: Path) -> set[str]:
    return {str(path) for path in folder.glob("*/checkpoints/step-*")}
