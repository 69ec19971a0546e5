from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from helpers.sweeps import Place

from zoo.sweep import plan
from zoo.system import workers
from zoo.system.workers import Outcome, WorkerCall


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the measuring workers and return the titles of their calls; a run of test_vit does not fit into memory."""
    asked: list[str] = []

    def run(work: WorkerCall, receive: Callable[[dict[str, Any]], None], **_: object) -> Outcome:
        asked.append(work.title)
        if work.title == "zoo test_vit":
            return Outcome("oom", "too large")
        size = work.arguments["recipe"]["image_size"]
        receive({"seconds": 60.0 * size, "images_per_second": 10.0, "peak_memory_mb": 500.0, "disk_bytes": 2e8})
        return Outcome("ok")

    monkeypatch.setattr(workers, "run", run)
    return asked


def test_each_kind_of_run_is_measured_once(place: Place, measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    values = {"optim.lr": [0.1, 0.2], "image_size": [32, 64]}
    assert plan.print_plan(place.grid(values=values, seeds=[0, 1]), 1) == 0
    assert measured == ["zoo test_resnet"] * 2
    out = capsys.readouterr().out
    assert len(re.findall(r"^test_resnet-lr0\.[12]-image_size\d\d-seed\d +(32|64) min ", out, re.MULTILINE)) == 8
    assert out.endswith("plan       8 runs, one at a time: about 6 h 24 min here, 1.6 GB on disk\n")
    assert not (place.path / "runs").exists()


def test_side_by_side_they_take_less(place: Place, measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plan.print_plan(place.grid(seeds=[0, 1, 2]), 2)
    assert capsys.readouterr().out.endswith("plan       3 runs, 2 at a time: about 64 min here, 0.6 GB on disk\n")


def test_what_cannot_be_trained_is_a_line(place: Place, measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.print_plan(place.grid("test_resnet", "test_vit", "nothing9", seeds=[0]), 1) == 1
    out = capsys.readouterr().out
    assert "test_vit-seed0    oom: too large\n" in out
    assert "nothing9-seed0    unknown: unknown model 'nothing9'" in out
    assert out.endswith("failed     2 of 3 runs cannot be trained: the table says why\n")


@pytest.mark.slow
def test_a_real_forecast_arrives(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.print_plan(place.grid(seeds=[0, 1]), 1) == 0
    assert "2 runs, one at a time: about " in capsys.readouterr().out
