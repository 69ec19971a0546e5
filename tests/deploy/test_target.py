"""An export replaces an earlier export and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.deploy.formats import choose
from zoo.deploy.target import FILES, RECORD, check_target, digests, record_of
from zoo.errors import ZooError
from zoo.system.files import digest

TIMM, TORCH = choose("timm"), choose("torch")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a folder with the files and the record of an export, but without a real model."""
    place = tmp_path / "animals-timm"
    place.mkdir()
    for name in FILES:
        (place / name).write_text(name, encoding="utf-8")
    (place / RECORD).write_text(json.dumps({"format": "timm", "proof": {}, "files": digests(place)}), encoding="utf-8")
    return place


def test_an_earlier_folder_is_replaced(folder: Path, tmp_path: Path) -> None:
    check_target(folder, TIMM)
    check_target(tmp_path / "new", TIMM)


def test_a_folder_with_things_of_its_owner_stays(folder: Path) -> None:
    (folder / ".git").mkdir()
    with pytest.raises(ZooError, match=r"contains other files: \.git"):
        check_target(folder, TIMM)


def test_an_edited_card_stays(folder: Path) -> None:
    (folder / "README.md").write_text("my own words", encoding="utf-8")
    with pytest.raises(ZooError, match=r"README\.md was changed since it was written"):
        check_target(folder, TIMM)


def test_a_model_folder_of_a_run_stays(folder: Path) -> None:
    (folder / RECORD).unlink()
    with pytest.raises(ZooError, match="exists and is not an export"):
        check_target(folder, TIMM)


def test_a_file_stays_unless_its_proof_is_of_it(tmp_path: Path) -> None:
    file = tmp_path / "a.pt2"
    check_target(file, TORCH)
    file.write_text("precious", encoding="utf-8")
    with pytest.raises(ZooError, match="was not written by zoo export"):
        check_target(file, TORCH)
    record_of(file, TORCH).write_text(json.dumps({"format": "torch", "proof": {}, "sha256": digest(file)}), encoding="utf-8")
    check_target(file, TORCH)
    file.write_text("more precious", encoding="utf-8")
    with pytest.raises(ZooError, match="was not written by zoo export"):
        check_target(file, TORCH)


def test_a_proof_that_is_none_stays(tmp_path: Path) -> None:
    record_of(tmp_path / "a.pt2", TORCH).write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(ZooError, match="is not the record of an export"):
        check_target(tmp_path / "a.pt2", TORCH)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt2").mkdir()
    with pytest.raises(ZooError, match="is a folder"):
        check_target(tmp_path / "a.pt2", TORCH)
