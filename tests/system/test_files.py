"""Files and folders are written completely: at any moment, they have the old content or the new one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from zoo.errors import StorageError
from zoo.system import files


class Killed(BaseException):
    """An exception that stands for the end of the process."""


def tree(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_file_is_replaced_whole_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []
    monkeypatch.setattr(files, "sync", lambda path: synced.append(path.name))
    files.write_file(tmp_path / "a", "old")
    files.write_file(tmp_path / "a", "neü")
    assert tree(tmp_path) == {"a": "neü"}
    files.write_file(tmp_path / "a", b"\0")
    assert (tmp_path / "a").read_bytes() == b"\0"
    # First the content is synced, then the folder that contains the file's name.
    assert synced == [".a.tmp", tmp_path.name] * 3


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files.write_file(tmp_path / "a", "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_file(tmp_path / "a", "new")
    assert tree(tmp_path) == {"a": "old"}


def test_a_folder_is_replaced_whole(tmp_path: Path):
    for content in ("old", "new"):
        with files.staged(tmp_path / "model") as staging:
            staging.mkdir()
            (staging / content).write_text(content)
    assert tree(tmp_path) == {"model/new": "new"}


@pytest.mark.parametrize("point", range(3))
def test_a_folder_is_old_or_new_wherever_the_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int):
    """Two renames replace a folder; the process ends before the first, between them, or after the second."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    renames = 0

    def replace(source: Path, target: Path, real=os.replace) -> None:
        nonlocal renames
        if renames == point:
            raise Killed
        renames += 1
        real(source, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(files.os, "replace", replace)
        with files.staged(tmp_path / "model") as staging:
            staging.mkdir()
            (staging / "new").write_text("new")
        raise Killed
    files.recover(tmp_path / "model")
    assert tree(tmp_path) == ({"model/new": "new"} if point == 2 else {"model/old": "old"})


def test_a_block_that_raises_changes_nothing(tmp_path: Path):
    with pytest.raises(ValueError, match="no"), files.staged(tmp_path / "a") as staging:
        staging.write_text("half")
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_new_files_have_the_permissions_of_any_other(tmp_path: Path):
    (tmp_path / "plain").write_text("")
    with files.staged(tmp_path / "model") as staging:
        staging.mkdir(mode=0o700)
        (staging / "weights").touch(mode=0o600)
    assert (tmp_path / "model" / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_goes_wrong_while_storing_is_one_line_with_the_room_that_is_there(tmp_path: Path):
    for error in (OSError(28, "No space left on device"), RuntimeError("unexpected pos 64 vs 0")):
        with pytest.raises(StorageError) as raised, files.storing(tmp_path / "x", 5_000):
            raise error
        text = str(raised.value)
        assert text.startswith(f"{tmp_path / 'x'}: cannot be written: ")
        assert "needs 5,000 bytes, " in text
    with pytest.raises(KeyError), files.storing(tmp_path / "x", 1):
        raise KeyError


def test_digests_are_sha256(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_the_nearest_existing_folder_and_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert files.existing(tmp_path / "a" / "b") == tmp_path
    assert files.free_bytes(tmp_path / "a" / "b") > 0
    monkeypatch.setenv("ZOO_CACHE", "~/x")
    assert files.cache_root() == Path.home() / "x"
