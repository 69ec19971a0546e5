"""Run folders: created, written, read, found by the names in their recipes, or rejected with the option that named them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.recipes import GOOD, load

from zoo.errors import StorageError, ZooError
from zoo.recipe.dump import dump_recipe
from zoo.results import folder
from zoo.results.folder import RunFolder, checkpoint_steps, newest_unfinished, recipe_name


def unfinished(root: Path, name: str, recipe: str | None, *steps: int) -> Path:
    """Make a run folder with checkpoints but no result."""
    run = RunFolder.create(root, name)
    for step in steps or (1,):
        (run.path / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
    if recipe is not None:
        run.write("recipe.yaml", recipe)
    return run.path


def test_a_taken_name_gets_a_number_and_auto_finds_what_is_not_done(tmp_path: Path) -> None:
    runs = [RunFolder.create(tmp_path, "a") for _ in range(3)]
    assert [run.path.name for run in runs] == ["a", "a-2", "a-3"]
    RunFolder.create(tmp_path, "a-b")
    assert newest_unfinished(tmp_path, "a") is None
    for run in runs[:2]:
        (run.path / "checkpoints" / "step-00000001").mkdir(parents=True)
    runs[1].write_json("result.json", {})
    assert newest_unfinished(tmp_path, "a") == tmp_path / "a"


@pytest.mark.parametrize("name", ["net", "no", "2026-01-02", "1:30", "12", "it's", "a: b #c", "ünï", "true"])
def test_a_name_is_read_back_from_any_resolved_recipe(tmp_path: Path, name: str):
    """A YAML 1.1 loader would read some of these names as dates, numbers or booleans."""
    recipe = load(tmp_path, GOOD).model_copy(update={"name": name})
    run = unfinished(tmp_path / "runs", name, dump_recipe(recipe))
    assert recipe_name(run) == name
    assert newest_unfinished(tmp_path / "runs", name) == run


@pytest.mark.parametrize("recipe", [None, "[", "- a\n", "", "optim: {lr: 1}\n"])
def test_a_damaged_run_is_found_by_its_folder(tmp_path: Path, recipe: str | None):
    """Resuming such a run reports what is damaged. Silently starting a new run would hide it."""
    run = unfinished(tmp_path, "net", recipe)
    assert recipe_name(run) is None
    assert newest_unfinished(tmp_path, "net") == run


def test_the_fiftieth_run_of_a_net_is_told_from_a_net_50(tmp_path: Path):
    net = unfinished(tmp_path, "net", "name: net\n")
    net50 = unfinished(tmp_path, "net-50", "name: net-50\n")
    os.utime(net, (1, 1))
    assert newest_unfinished(tmp_path, "net") == net
    assert newest_unfinished(tmp_path, "net-50") == net50
    assert newest_unfinished(tmp_path, "ne") is None


def test_checkpoints_are_counted_whole_and_ascending(tmp_path: Path):
    run = unfinished(tmp_path, "net", None, 120, 5)
    (run / "checkpoints" / ".step-00000200.tmp").mkdir()
    (run / "checkpoints" / "step-best").mkdir()
    assert checkpoint_steps(run) == [5, 120]
    assert checkpoint_steps(tmp_path / "nowhere") == []


def test_an_unusable_root_is_refused_at_the_place_that_asked_for_it(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ZooError, match=r"^output\.root: not a directory: .*/file \(choose another\)$"):
        RunFolder.check(tmp_path / "file" / "below")
    with pytest.raises(ZooError, match=r"^--out: not a directory"):
        RunFolder.check(tmp_path / "file", "--out")
    with pytest.raises(ZooError, match=r"^output\.root: not writable: /proc"):
        RunFolder.check(Path("/proc/runs"))
    RunFolder.check(tmp_path / "new" / "below")
    assert not (tmp_path / "new").exists()


def test_a_root_with_too_many_runs_of_a_name_asks_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folder, "MOST_RUNS", 3)
    assert [RunFolder.create(tmp_path, "net").path.name for _ in range(2)] == ["net", "net-2"]
    with pytest.raises(ZooError, match="too many runs named net"):
        RunFolder.create(tmp_path, "net")


def test_files_of_a_run_are_written_whole_and_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = RunFolder.create(tmp_path, "net")
    run.write_json("result.json", {"status": "dönе"})
    assert run.read_json("result.json") == {"status": "dönе"}
    run.write_history([{"epoch": 1}, {"epoch": 2, "val.loss": None}])
    assert (run.path / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2, "val.loss": null}\n'
    with pytest.raises(ZooError, match=r"none\.json: no such file \(give the folder of a run\)"):
        run.read_json("none.json")
    (run.path / "broken.json").write_text("{")
    with pytest.raises(ZooError, match=r"broken\.json: cannot be read: .* \(the run is damaged\)"):
        run.read_json("broken.json")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.system.files.os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device; needs"):
        run.write("result.json", "x")
    assert run.read_json("result.json") == {"status": "dönе"}


def test_a_run_in_use_names_the_flag(tmp_path: Path):
    run = RunFolder.create(tmp_path, "net")
    with run.held(), pytest.raises(ZooError, match=r"^--out: .* in use by pid"), run.held("--out"):
        pass
