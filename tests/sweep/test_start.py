"""The checks and choices of a sweep before its first run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from helpers.sweeps import Place
from PIL import Image

from zoo.errors import ZooError
from zoo.results.folder import RunFolder
from zoo.sweep import on_ray, start
from zoo.sweep.grid import runs_of
from zoo.sweep.pool import LocalPool
from zoo.sweep.start import How


def test_nothing_is_written_for_bad_input(place: Place) -> None:
    place.pool()
    with pytest.raises(ZooError, match=r"^data.root: no such folder"):
        place.sweep(place.grid(overrides=["data={kind: folder, root: nowhere}"]), None)
    with pytest.raises(ZooError, match=r"^--budget: .* data.val_fraction is 0"):
        place.sweep(place.grid(overrides=["data.val_fraction=0", "eval.select_by=last"]), None, budget=60.0)
    with pytest.raises(ZooError, match=r"^--out: not a directory"):
        place.sweep(place.grid(), Path("tiny.yaml"))
    assert [path.name for path in place.path.iterdir()] == ["tiny.yaml"]
    save(Path("photos", "only", "1.png"))
    with pytest.raises(ZooError, match=r"^data.root: only one class"):
        place.sweep(place.grid(overrides=["data={kind: folder, root: photos}", "train.batch_size=auto"]), None)
    assert sorted(path.name for path in place.path.iterdir()) == ["photos", "tiny.yaml"]


def test_a_folder_of_a_sweep_that_has_just_begun_is_not_taken(place: Place) -> None:
    place.pool()
    Path("runs/sweep").mkdir(parents=True)
    with RunFolder(Path("runs/sweep")).held("--out"):
        assert place.sweep(place.grid(), None) == 0
    assert Path("runs/sweep-2/sweep.json").is_file()


def test_a_budget_needs_validation_images_in_a_folder_too(place: Place) -> None:
    place.pool()
    overrides = ["data={kind: folder, root: photos, val_fraction: 0}", "eval.select_by=last"]
    for part, name in itertools.product(("train", "test"), "ab"):
        save(Path("photos", part, name, "1.png"))
        save(Path("photos", part, name, "2.png"))
    with pytest.raises(ZooError, match=r"^--budget: .* data.val_fraction is 0"):
        place.sweep(place.grid(overrides=overrides), budget=60.0)
    for name in "ab":
        save(Path("photos", "val", name, "3.png"))
    assert place.sweep(place.grid(overrides=overrides), budget=1000.0) == 0


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def test_the_pool_is_of_this_machine_unless_asked_for_another() -> None:
    pool = start.make_pool(How(jobs=3, timeout=5.0), [])
    assert isinstance(pool, LocalPool)
    assert (pool.jobs, pool.timeout) == (3, 5.0)


def test_a_cluster_is_told_the_threads_of_the_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "RayPool", lambda jobs, timeout, threads: (jobs, timeout, threads))
    runs = runs_of(place.grid("test_resnet", "nothing9", values={"train.threads": [3, 2]}))
    assert start.make_pool(How(timeout=5.0, on="ray"), runs) == (None, 5.0, 2)
    left_open = runs_of(place.grid(values={"train.threads": [3, "auto"]}))
    assert start.make_pool(How(on="ray"), left_open) == (None, None, None)
