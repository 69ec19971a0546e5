from __future__ import annotations

import os
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.results.folder import RunFolder, newest_unfinished


def test_a_taken_name_gets_a_number_and_auto_finds_what_is_not_done(tmp_path: Path) -> None:
    runs = [RunFolder.create(tmp_path, "a") for _ in range(3)]
    assert [run.path.name for run in runs] == ["a", "a-2", "a-3"]
    RunFolder.create(tmp_path, "a-b")
    assert newest_unfinished(tmp_path, "a") is None
    for run in runs[:2]:
        (run.path / "checkpoints" / "step-00000001").mkdir(parents=True)
    runs[1].write_json("result.json", {})
    assert newest_unfinished(tmp_path, "a") == tmp_path / "a"


def test_auto_takes_no_run_of_another_name(tmp_path: Path) -> None:
    for folder, name in (("net", "net"), ("net-2", "net"), ("net-50", "net-50")):
        (tmp_path / folder / "checkpoints/step-00000001").mkdir(parents=True)
        (tmp_path / folder / "recipe.yaml").write_text(f"name: {name}\n")
        os.utime(tmp_path / folder)
    assert newest_unfinished(tmp_path, "net") == tmp_path / "net-2"
    assert newest_unfinished(tmp_path, "net-50") == tmp_path / "net-50"


def test_an_output_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ZooError, match=r"output\.root: not a directory"):
            RunFolder.check(path)
