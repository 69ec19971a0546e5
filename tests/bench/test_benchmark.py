from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers import benches
from helpers.stand_in import FIGURES

from zoo.bench import benchmark, compare, plot, rows
from zoo.bench.benchmark import Settings, run_benchmark
from zoo.cli import main
from zoo.commands import bench
from zoo.errors import ZooError
from zoo.models import catalog
from zoo.results.folder import RunFolder
from zoo.system import workers

ROOT = Path(__file__).parents[2]
Say = Callable[[dict[str, Any]], None]


def run(models: list[str], out: Path | None, **more: Any) -> int:
    chosen = more.pop("chosen", Settings(batch_size=8))
    return run_benchmark(models, chosen, out=out, target="helpers.stand_in", **more)


# --------------------------------------------------------------------------- robust


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
    # What was known before it failed is kept.
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


def test_an_interrupted_benchmark_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    real = workers.run

    def stop(work: workers.WorkerCall, *more: Any, **options: Any) -> workers.Outcome:
        if work.arguments.get("model") == "resnet10t":
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
    # Finished: the next is a new one.
    assert run(["resnet18"], None) == 0
    assert list(benches.rows(Path("runs/bench-2"))) == ["resnet18"]


def test_two_benchmarks_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["resnet18"], None) == 0
    state = json.loads((tmp_path / "runs/bench" / benchmark.STATE).read_text())
    (tmp_path / "runs/bench" / benchmark.STATE).write_text(json.dumps(state | {"finished": False}))
    with RunFolder(Path("runs/bench")).held():
        assert run(["resnet18"], None) == 0
        assert Path("runs/bench-2").is_dir()
        with pytest.raises(ZooError, match=r"^--out: runs/bench in use by pid \d+ on "):
            run(["resnet18"], Path("runs/bench"))


def test_rows_of_other_settings_or_hardware_are_not_taken_over(tmp_path: Path) -> None:
    assert run(["resnet18"], tmp_path) == 0
    with pytest.raises(ZooError, match=r"--out: .* holds rows of another kind: batch_size 8 -> 16"):
        run(["resnet18"], tmp_path, chosen=Settings(batch_size=16))
    known = json.loads((tmp_path / benchmark.STATE).read_text())
    known["hardware"]["cpu"] = "another"
    (tmp_path / benchmark.STATE).write_text(json.dumps(known))
    with pytest.raises(ZooError, match="cpu another -> "):
        run(["resnet18"], tmp_path)


def test_a_failed_row_is_tried_again_and_others_stay(tmp_path: Path) -> None:
    assert run(["resnet18", "resnet26"], tmp_path) == 1
    assert run(["resnet10t"], tmp_path) == 0
    assert list(benches.rows(tmp_path)) == ["resnet10t", "resnet18", "resnet26"]


def test_processes_know_of_each_other(tmp_path: Path) -> None:
    heard: dict[str, Any] = {}
    work = workers.WorkerCall("helpers.stand_in:measure", {"model": "resnet18"}, "two")
    assert workers.run(work, heard.update, processes=2, timeout=60).status == "ok"
    assert (heard["rank"], heard["world"]) == (0, "2")
    assert run(["resnet18"], tmp_path, processes=[1, 2]) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(row["processes"], row["efficiency"]) for row in found] == [(1, 1.0), (2, 0.5)]
    assert [row["choice"] for row in found] == ["auto", "as on fewer processes"]


# --------------------------------------------------------------------------- input


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ([], "MODEL: which models?"),
        (["resnet18", "--mode", "both,"], "--mode: unknown 'both,' (use train, infer or both)"),
        (["resnet18", "--batch-size", "0"], "--batch-size: expected a whole number above 0, found '0'"),
        (["resnet18", "--image-size", "big"], "--image-size: expected a whole number above 0, found 'big'"),
        (["resnet18", "--precision", "fp8"], "--precision: unknown 'fp8'"),
        (["resnet18", "--channels-last", "yes"], "--channels-last: unknown 'yes'"),
        (["resnet18", "--steps", "-1"], "--steps: expected"),
        (["resnet18", "--timeout", "nan"], "--timeout: expected seconds above 0"),
        (["resnet18", "--processes", "1,two"], "--processes: expected"),
        (["resnet18", "--optimizer", "sdg"], "--optimizer: unknown 'sdg' (did you mean 'sgd'?"),
        (["resnet18", "--data", "/nowhere/at/all"], "--data: no such folder: /nowhere/at/all"),
        (["resnet18", "--out", "/dev/null"], "--out: not a directory: /dev/null"),
        (["resmet*"], "MODEL resmet*: matches no model (closest: resnet"),
        (["--compare", "/nowhere.csv", "/nowhere.csv"], "--compare: /nowhere.csv cannot be read"),
        (["resnet18", "--compare", "a.csv", "b.csv"], "--compare: measures nothing, so resnet18 is not for it"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {where}")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_patterns_stand_for_architectures() -> None:
    assert bench.expand(["resnet18", "test_resn*", "resnet18"]) == ["resnet18", "test_resnet"]
    assert "resnet18.a1_in1k" in bench.expand(["resnet18.*"])
    assert bench.expand(["not_there"]) == ["not_there"]


# ------------------------------------------------------------------------- compare


def table(folder: Path, name: str, **columns: Any) -> Path:
    row = {"model": "resnet18", "status": "ok", "device": "a CPU", "cpu": "a CPU", "cores": 2, "threads": 2, "torch": "2"}
    row |= {f"train_{key}": value for key, value in FIGURES.items()} | columns
    folder.joinpath(name).mkdir()
    rows.write(folder / name, [row])
    return folder / name / "results.csv"


def test_what_is_faster_beyond_the_noise(tmp_path: Path) -> None:
    old = table(tmp_path, "old")
    speeds = {"train_samples_per_sec": 120.0, "train_samples_per_sec_p10": 110.0, "train_samples_per_sec_p90": 125.0}
    said = "\n".join(compare.lines(old, table(tmp_path, "new", **speeds)))
    assert "1.20   1.06-1.32  faster" in said
    assert "hardware" not in said
    near = {"train_samples_per_sec": 103.0, "train_samples_per_sec_p10": 98.0, "train_samples_per_sec_p90": 105.0}
    assert "within noise" in compare.lines(old, table(tmp_path, "near", **near))[4]


def test_other_hardware_and_other_batches_are_said(tmp_path: Path) -> None:
    old = table(tmp_path, "old")
    said = "\n".join(compare.lines(old, table(tmp_path, "new", device="a GPU", train_batch_size=64)))
    assert "different hardware (device)" in said
    assert "batch_size 8 -> 64" in said
    # A table of timm's says nothing of its hardware.
    (tmp_path / "timm.csv").write_text("model,train_samples_per_sec,train_batch_size\nresnet18,50.5,8\n")
    assert "different hardware" in "\n".join(compare.lines(tmp_path / "timm.csv", old))


# ------------------------------------------------------------------------- picture


def test_the_front_holds_what_no_other_beats() -> None:
    assert plot.front([(1, 5), (2, 4), (2, 7), (3, 7), (4, 9)]) == [0, 2, 4]


def test_names_in_the_picture_do_not_meet(tmp_path: Path) -> None:
    many = []
    for number in range(24):
        speed = 1000 / (1 + number % 7) / (1 + number / 5)
        row = {
            "model": f"a_model_with_a_long_name_{number}",
            "param_count": 1.1**number,
            "precision": "fp32",
            "channels_last": True,
        }
        for mode in ("train", "infer"):
            row |= {f"{mode}_{key}": value for key, value in FIGURES.items()}
            row |= {f"{mode}_samples_per_sec{end}": speed * share for end, share in (("", 1), ("_p10", 0.9), ("_p90", 1.2))}
        many.append(row)
    plot.draw_throughput(many, tmp_path / "throughput.svg", "a CPU & <more>")
    texts = [text for text in ElementTree.parse(tmp_path / "throughput.svg").getroot().iter() if text.tag.endswith("text")]
    assert {f"a_model_with_a_long_name_{number}" for number in range(24)} <= {text.text for text in texts}
    once = (tmp_path / "throughput.svg").read_bytes()
    plot.draw_throughput(many, tmp_path / "throughput.svg", "a CPU & <more>")
    assert (tmp_path / "throughput.svg").read_bytes() == once


def test_known_accuracies_get_a_panel(tmp_path: Path) -> None:
    entries = catalog.architectures()
    names = ["resnet18", "resnet34.a1_in1k", "test_vit", "resnet18.tv_in1k", "no_such_model"]
    assert plot.top1({"model": "resnet18"}) == entries["resnet18"][0].top1
    assert plot.top1({"model": "resnet18.tv_in1k"}) == next(e.top1 for e in entries["resnet18"] if e.tag == "tv_in1k")
    assert plot.top1({"model": "no_such_model"}) is None
    row = {f"train_{key}": value for key, value in FIGURES.items()} | {"precision": "fp32", "channels_last": True}
    for count, panel in ((4, True), (1, False)):
        found = [row | {"model": name, "param_count": 11.0} for name in names[:count]]
        plot.draw_throughput(found, tmp_path / "throughput.svg", "a CPU")
        assert (
            "against top-1; named: no other model here is both more accurate and faster"
            in (tmp_path / "throughput.svg").read_text()
        ) == panel
