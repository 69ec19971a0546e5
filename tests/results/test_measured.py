"""The folder of measurements: resumed, rejected, written completely. `tests/bench/test_benchmark.py` has more."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from zoo.bench import benchmark
from zoo.errors import StorageError, ZooError
from zoo.results import measured
from zoo.results.folder import RunFolder
from zoo.scout import scouting
from zoo.sweep import folder as sweeps

STATE: dict[str, Any] = {"hardware": {"cpu": "a"}, "settings": {"size": 32}, "asked": ["x", "y"]}


def begin(out: Path | None, **changes: Any) -> Path:
    state = STATE | changes
    folder = measured.open_folder(out, "look", "look.json", state)
    RunFolder(folder).write_json("look.json", state | {"finished": False})
    return folder


def test_an_unfinished_one_of_the_same_kind_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert begin(None) == Path("runs/look")
    assert begin(None) == Path("runs/look")
    assert begin(None, asked=["z"]) == Path("runs/look-2")
    assert begin(None, settings={"size": 64}) == Path("runs/look-3")
    RunFolder(Path("runs/look")).write_json("look.json", STATE | {"finished": True})
    assert begin(None) == Path("runs/look-4")


@pytest.mark.parametrize("text", ["[]", "{", "\udcff", '{"finished": false, "hardware": [1]}', '{"finished": false}'])
def test_a_damaged_one_is_in_nobody_s_way(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = begin(None)
    (before / "look.json").write_bytes(text.encode(errors="surrogateescape"))
    assert begin(None) == Path("runs/look-2")
    assert begin(None) == Path("runs/look-2")


def test_a_damaged_one_that_was_chosen_is_named(tmp_path: Path) -> None:
    (tmp_path / "look.json").write_text("[]")
    with pytest.raises(ZooError, match=r"look.json: holds no settings \(choose another folder\)$"):
        begin(tmp_path)
    (tmp_path / "look.json").write_text("{")
    with pytest.raises(ZooError, match=r"look.json: cannot be read"):
        begin(tmp_path)


def test_rows_of_another_kind_are_not_mixed(tmp_path: Path) -> None:
    assert begin(tmp_path, asked=["z"]) == tmp_path
    assert begin(tmp_path) == tmp_path
    with pytest.raises(
        ZooError, match=r"^--out: .* holds rows with other settings or hardware: size 32 -> 64 \(choose another folder\)$"
    ):
        begin(tmp_path, settings={"size": 64})
    (tmp_path / "results.json").write_text("[]")
    assert begin(tmp_path) == tmp_path
    with pytest.raises(ZooError, match=r"^--out: .* holds results of another command \(choose another folder\)$"):
        measured.open_folder(tmp_path, "glance", "glance.json", STATE)


def test_the_folder_of_every_command_is_known() -> None:
    states = {benchmark.KIND.state_file, scouting.KIND.state_file, sweeps.STATE}
    assert states == set(measured.STATE_FILES)


def test_rows_are_read_back_and_lists_stay_out_of_the_csv(tmp_path: Path) -> None:
    rows = [{"model": "a, b", "speed": 1.5, "folds": [1, 2]}, {"model": "c", "more": 1}]
    measured.write_rows(tmp_path, rows, ["model", "speed", "folds"], ["folds"])
    assert (tmp_path / "results.csv").read_text() == 'model,speed\n"a, b",1.5\nc,\n'
    assert measured.read_rows(tmp_path, "a look") == [
        {"model": "a, b", "speed": 1.5, "folds": [1, 2]},
        {"model": "c", "speed": None, "folds": None},
    ]
    with pytest.raises(ZooError, match=r"results.json holds no rows of a look"):
        measured.read_rows(tmp_path, "a look", "name")
    assert (
        measured.csv_text([{"model": "a", "crop": {"kind": "none"}}], ["model", "crop"]).splitlines()[1]
        == 'a,"{""kind"": ""none""}"'
    )
    table = list(csv.reader(io.StringIO(measured.csv_text([{"model": "a\rb", "error": None}], ["model", "error"]), newline="")))
    assert table == [["model", "error"], ["a\rb", ""]]
    (tmp_path / "results.json").write_text(json.dumps({"accuracy": 1}))
    with pytest.raises(ZooError, match=r"results.json holds no rows of a look"):
        measured.read_rows(tmp_path, "a look")


def test_results_that_cannot_be_written_name_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: RunFolder, name: str, text: str) -> None:
        raise StorageError(str(self.path / name), "cannot be written: No space left on device", "free some space, then --resume")

    with monkeypatch.context() as patch, pytest.raises(StorageError) as failed:
        patch.setattr(RunFolder, "write", full)
        measured.write_rows(tmp_path, [{"model": "resnet18"}], ["model"])
    assert failed.value.where == "--out"
    assert str(tmp_path / "results.json") in failed.value.what
    assert failed.value.todo == "free some space, then give the same command again"
