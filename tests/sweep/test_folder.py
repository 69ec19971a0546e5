from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.sweeps import Place

from zoo.errors import ZooError
from zoo.results.folder import RunFolder
from zoo.sweep import folder
from zoo.sweep.grid import Grid, runs_of


def settings(grid: Grid) -> dict[str, Any]:
    return folder.settings_of(grid, runs_of(grid))


def find(grid: Grid, out: Path | None) -> Path:
    return folder.find(out, settings(grid), runs_of(grid))


def begin(path: Path, grid: Grid) -> None:
    path.mkdir(parents=True, exist_ok=True)
    RunFolder(path).write_json(folder.STATE, {"settings": settings(grid)})


def test_the_folder_of_the_same_settings_goes_on(place: Place) -> None:
    begin(Path("runs/sweep"), place.grid("test_vit"))
    begin(Path("runs/sweep-2"), place.grid())
    assert find(place.grid(), None) == Path("runs/sweep-2")
    assert find(place.grid(), Path("runs/sweep-2")) == Path("runs/sweep-2")
    assert find(place.grid(seeds=[5]), None) == Path("runs/sweep-3")


def test_a_folder_that_a_killed_start_left_is_used(place: Place) -> None:
    Path("runs/sweep").mkdir(parents=True)
    (Path("runs/sweep") / ".lock").touch()
    assert find(place.grid(), None) == Path("runs/sweep")


def test_the_same_settings_come_before_a_folder_without_any_and_numbers_count(place: Place) -> None:
    for name in ("sweep", "sweep-x", "sweeping"):
        Path("runs", name).mkdir(parents=True)
    begin(Path("runs/sweep-10"), place.grid())
    assert find(place.grid(), None) == Path("runs/sweep-10")
    begin(Path("runs/sweep-2"), place.grid())
    assert find(place.grid(), None) == Path("runs/sweep-2")
    assert find(place.grid("test_vit"), None) == Path("runs/sweep")
    Path("runs/sweep").rmdir()
    # A folder with a name that the user chose is never taken.
    begin(Path("runs/sweep-of-mine"), place.grid("test_vit"))
    assert find(place.grid("test_vit"), None) == Path("runs/sweep")


def test_a_damaged_folder_is_passed_over_or_named(place: Place) -> None:
    Path("runs/sweep").mkdir(parents=True)
    (Path("runs/sweep") / folder.STATE).write_text("{")
    assert find(place.grid(), None) == Path("runs/sweep-2")
    with pytest.raises(ZooError, match=r"runs/sweep/sweep.json: cannot be read"):
        find(place.grid(), Path("runs/sweep"))
    (Path("runs/sweep") / folder.STATE).write_text("[]")
    with pytest.raises(ZooError, match=r"^--out: runs/sweep/sweep.json is not the state of a sweep"):
        find(place.grid(), Path("runs/sweep"))


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"backbones": ["test_vit"]}, "backbones test_resnet -> test_vit"),
        ({"seeds": [0, 1, 2]}, "seeds 0, 1 -> 0, 1, 2"),
        ({"values": {"optim.lr": [0.1]}}, "--set optim.lr - -> 0.1"),
        ({"overrides": ["train.epochs=3", "optim.name=sgd"]}, r"optim.name adamw -> sgd, train.epochs 9 -> 3"),
    ],
)
def test_a_folder_of_other_settings_is_refused(place: Place, options: dict[str, Any], difference: str) -> None:
    begin(Path("out"), place.grid())
    with pytest.raises(ZooError) as error:
        find(place.grid(*options.pop("backbones", []), **options), Path("out"))
    assert str(error.value) == f"--out: out holds a sweep with other settings: {difference} (choose another folder)"


def test_what_has_no_effect_on_the_runs_is_no_difference(place: Place, tmp_path: Path) -> None:
    begin(Path("out"), place.grid())
    (tmp_path / "other.yaml").write_text((tmp_path / "tiny.yaml").read_text() + "name: other\noutput: {root: elsewhere}\n")
    grid = Grid(Path("other.yaml"), ["test_resnet"], seeds=[0, 1])
    assert find(grid, Path("out")) == Path("out")
    # A folder of an earlier version lacks options that were added later.
    state = json.loads(Path("out/sweep.json").read_text())
    del state["settings"]["recipe"]["train.clip_grad"]
    Path("out/sweep.json").write_text(json.dumps(state))
    assert find(place.grid(), Path("out")) == Path("out")


def test_a_folder_with_runs_of_others_is_refused(place: Place) -> None:
    Path("out/test_resnet-seed1").mkdir(parents=True)
    with pytest.raises(ZooError, match=r"^--out: out is not the folder of a sweep, but already has test_resnet-seed1"):
        find(place.grid(), Path("out"))


def test_a_place_that_cannot_be_written_is_refused(place: Place) -> None:
    Path("file").touch()
    with pytest.raises(ZooError, match=r"^--out: not a directory: "):
        find(place.grid(), Path("file/below"))
    assert not Path("runs").exists()
