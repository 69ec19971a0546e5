from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import benches

from zoo.bench import rows
from zoo.bench.benchmark import run_benchmark
from zoo.bench.settings import Request, Settings
from zoo.errors import ZooError
from zoo.results.folder import RunFolder
from zoo.system import workers


def run(models: list[str], out: Path | None, **more: Any) -> int:
    chosen = more.pop("chosen", Settings(batch_size=8))
    return run_benchmark(models, chosen, out=out, target="helpers.stand_in", **more)


def test_whatever_becomes_of_a_model_is_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [
        "resnet18",
        "resnet26",
        "resnet34",
        "resnet33ts",
        "nothing9",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnet14t",
        "resnet10t",
    ]
    assert run(models, tmp_path, timeout=3) == 1
    found = benches.rows(tmp_path)
    assert list(found) == models
    status = {name: row["status"] for name, row in found.items()}
    assert status == {
        "resnet18": "ok",
        "resnet26": "oom",
        "resnet34": "oom",
        "resnet33ts": "oom",
        "nothing9": "unknown",
        "resnet50": "killed",
        "resnet101": "timeout",
        "resnet152": "failed",
        "resnet14t": "failed",
        "resnet10t": "ok",
    }
    assert found["resnet152"]["error"] == "ValueError: one"
    assert "SIGKILL" in found["resnet50"]["error"]
    assert found["resnet14t"]["error"] == "exit code 9: a library says something"
    # Values measured before the failure are kept.
    assert found["resnet34"]["infer_samples_per_sec"] == 100.0
    with open(tmp_path / "results.csv", newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [row["model"] for row in table] == models
    assert list(table[0]) == rows.COLUMNS
    output = capsys.readouterr().out
    assert "a library says something" not in output.replace("exit code 9: a library says something", "")
    assert "8 of 10 rows" in output


def test_all_well_is_0_and_nothing_is_measured_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["resnet18", "resnet10t"], tmp_path) == 0
    dates = {name: row["date"] for name, row in benches.rows(tmp_path).items()}
    stamp_before = (tmp_path / "results.json").stat().st_mtime_ns
    assert run(["resnet18", "resnet10t"], tmp_path) == 0
    assert {name: row["date"] for name, row in benches.rows(tmp_path).items()} == dates
    assert (tmp_path / "results.json").stat().st_mtime_ns == stamp_before
    assert "2 of 2 rows were measured before" in capsys.readouterr().out


def test_an_interrupted_benchmark_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    real = workers.run

    def stop(work: workers.WorkerCall, *more: Any, **options: Any) -> workers.Outcome:
        request = work.arguments.get("request")
        if request and request.model == "resnet10t":
            raise KeyboardInterrupt
        return real(work, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(workers, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            run(["resnet18", "resnet10t"], None)
    first = Path("runs/bench")
    date = benches.rows(first)["resnet18"]["date"]
    assert run(["resnet18", "resnet10t"], None) == 0
    assert list(benches.rows(first)) == ["resnet18", "resnet10t"]
    assert benches.rows(first)["resnet18"]["date"] == date
    # The first benchmark is finished, so the next one gets a new folder.
    assert run(["resnet18"], None) == 0
    assert list(benches.rows(Path("runs/bench-2"))) == ["resnet18"]


def test_two_benchmarks_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["resnet18"], None) == 0
    state = json.loads((tmp_path / "runs/bench" / "benchmark.json").read_text())
    (tmp_path / "runs/bench" / "benchmark.json").write_text(json.dumps(state | {"finished": False}))
    with RunFolder(Path("runs/bench")).held():
        assert run(["resnet18"], None) == 0
        assert Path("runs/bench-2").is_dir()
        with pytest.raises(ZooError, match=r"^--out: runs/bench in use by pid \d+ on "):
            run(["resnet18"], Path("runs/bench"))


def test_rows_of_other_settings_or_hardware_are_not_taken_over(tmp_path: Path) -> None:
    assert run(["resnet18"], tmp_path) == 0
    with pytest.raises(ZooError, match=r"--out: .* holds rows with other settings or hardware: batch_size 8 -> 16"):
        run(["resnet18"], tmp_path, chosen=Settings(batch_size=16))
    known = json.loads((tmp_path / "benchmark.json").read_text())
    known["hardware"]["cpu"] = "another"
    (tmp_path / "benchmark.json").write_text(json.dumps(known))
    with pytest.raises(ZooError, match="cpu another -> "):
        run(["resnet18"], tmp_path)


def test_a_failed_row_is_tried_again_and_others_stay(tmp_path: Path) -> None:
    assert run(["resnet18", "resnet26"], tmp_path) == 1
    assert run(["resnet10t"], tmp_path) == 0
    assert list(benches.rows(tmp_path)) == ["resnet10t", "resnet18", "resnet26"]


def test_processes_know_of_each_other(tmp_path: Path) -> None:
    heard: dict[str, Any] = {}
    work = workers.WorkerCall("helpers.stand_in:measure", {"request": Request("resnet18", Settings())}, "two")
    assert workers.run(work, heard.update, processes=2, timeout=60).status == "ok"
    assert (heard["rank"], heard["world"]) == (0, "2")
    assert run(["resnet18"], tmp_path, processes=[1, 2]) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(row["processes"], row["efficiency"]) for row in found] == [(1, 1.0), (2, 0.5)]
    assert [row["choice"] for row in found] == ["auto", "as on fewer processes"]


def test_a_busy_machine_gives_no_verdict_and_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["resnet18d", "resnet10t"], tmp_path) == 0
    found = benches.rows(tmp_path)
    assert (found["resnet18d"]["verdict"], found["resnet10t"]["verdict"]) == ("busy machine", "model-bound")
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("busy ")]
    assert len(notes) == 1
    assert "1 of 2 rows (resnet18d) have no verdict: p90 is more than 1.5 times p10" in notes[0]


def test_a_wrong_image_folder_is_an_error_of_its_flag(tmp_path: Path) -> None:
    with pytest.raises(ZooError) as failed:
        run(["resnet18"], tmp_path / "out", chosen=Settings(data=str(tmp_path / "nowhere")))
    assert failed.value.where == "--data"
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_an_error_of_its_flag(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ZooError) as failed:
        run(["resnet18"], tmp_path / "file" / "below")
    assert (failed.value.where, failed.value.todo) == ("--out", "choose another")
