"""Locks: a process waits for a lock of the cache, but rejects a run folder that is in use."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.system.locks import exclusive, held

HOLD = (
    "import sys, time; from pathlib import Path; from zoo.system.locks import exclusive, held\n"
    "with {kind}: print('held', flush=True); time.sleep({seconds})"
)


def other_process(kind: str, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds a lock, and wait until it does."""
    process = subprocess.Popen([sys.executable, "-c", HOLD.format(kind=kind, seconds=seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_process_waits_for_the_first(tmp_path: Path):
    path = tmp_path / "cache" / "store.lock"
    with other_process(f"exclusive(Path({str(path)!r}))", 0.4) as first:
        started = time.monotonic()
        with exclusive(path):
            assert time.monotonic() - started > 0.2
        first.wait()


def test_a_folder_in_use_names_who_uses_it(tmp_path: Path):
    path = tmp_path / ".lock"
    with other_process(f"held(Path({str(path)!r}), '--resume')", 30) as first:
        with pytest.raises(ZooError) as error, held(path, "--out"):
            pass
        who = f"pid {first.pid} on {platform.node()}"
        assert str(error.value) == f"--out: {tmp_path} in use by {who} (wait for it or stop it)"
        first.kill()
    # The system releases a lock when its process ends, even if the process was killed.
    with held(path, "--resume"):
        assert path.read_text() == f"pid {os.getpid()} on {platform.node()}"
    assert not path.exists()


def test_a_full_disk_does_not_prevent_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("zoo.system.locks.os.write", full)
    with (
        held(tmp_path / ".lock", "--out"),
        pytest.raises(ZooError, match="in use by another process"),
        held(tmp_path / ".lock", "-"),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ZooError, match=r"^.*/file: not writable: .*\(start a new run elsewhere\)"),
        held(tmp_path / "file" / "x", "-"),
    ):
        pass
    with pytest.raises(ZooError, match=r"\(set ZOO_CACHE to another folder\)"), exclusive(tmp_path / "file" / "x"):
        pass


def test_a_file_system_without_locks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("zoo.system.locks.fcntl.flock", unsupported)
    with pytest.raises(ZooError, match=r"files cannot be locked: Operation not supported"), exclusive(tmp_path / "x"):
        pass
