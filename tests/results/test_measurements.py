"""Measurements of many models in worker processes. `tests/bench/test_benchmark.py` and `tests/scout` have more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zoo.bench.settings import Request, Settings
from zoo.errors import Stopped, ZooError
from zoo.results import measurements
from zoo.results.measurements import Kind, Measurements

KIND = Kind("look", "a look", "look.json", ["model", "status", "error", "seconds"], (), lambda row: (row["model"], 1))
STATE: dict[str, Any] = {"hardware": {"cpu": "a"}, "settings": {"size": 32}, "asked": ["x"]}
STAND_IN = "helpers.stand_in"


def test_a_folder_is_finished_only_where_nothing_went_wrong(tmp_path: Path) -> None:
    def finished() -> bool:
        return json.loads((tmp_path / "look.json").read_text())["finished"]

    with pytest.raises(KeyboardInterrupt), measurements.opened(KIND, tmp_path, STATE):
        raise KeyboardInterrupt
    assert not finished()
    with measurements.opened(KIND, tmp_path, STATE) as folder:
        assert folder == tmp_path
        assert not finished()
        with pytest.raises(ZooError, match=r"^--out: .* in use by pid"), measurements.opened(KIND, tmp_path, STATE):
            pass
    assert finished()


def test_an_interrupted_measurement_says_how_to_continue(tmp_path: Path) -> None:
    with pytest.raises(Stopped) as stopped, measurements.opened(KIND, tmp_path, STATE):
        raise KeyboardInterrupt
    where = f"stopped by a signal during a measurement; earlier rows are in {tmp_path}"
    assert str(stopped.value) == f"{where} (the same command continues)"


def test_rows_of_before_are_kept_and_those_that_failed_are_measured_again(tmp_path: Path) -> None:
    first = Measurements(KIND, tmp_path, {}, STAND_IN, timeout=60)
    keys = [("resnet18", 1), ("resnet26", 1)]
    for model, number in keys:
        first.rows[model, number] = first.measure(first.new_row(model), Request(model, Settings()))
        first.write(keys)
    again = Measurements(KIND, tmp_path, {}, STAND_IN, timeout=60)
    assert {model: row["status"] for (model, _), row in again.rows.items()} == {"resnet18": "ok", "resnet26": "oom"}
    assert again.measured_before(keys) == keys[:1]
    again.rows["new", 1] = again.new_row("new")
    again.write([("new", 1)])
    found = json.loads((tmp_path / "results.json").read_text())
    assert [row["model"] for row in found] == ["new", "resnet18", "resnet26"]


def test_the_hardware_is_what_a_worker_process_says(tmp_path: Path) -> None:
    found = measurements.hardware(KIND, STAND_IN)
    assert {"device", "cpu", "cores", "torch", "timm", "zoo", "python"} <= set(found)
    with pytest.raises(ZooError, match=r"^zoo look: no worker process can be started: .*nothing"):
        measurements.hardware(KIND, "helpers.nothing")
