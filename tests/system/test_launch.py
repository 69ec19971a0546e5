"""The launch of processes: the place of each, which one prints an error, and the error if one of them is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from zoo.errors import LostProcess, ZooError
from zoo.system import launch
from zoo.system.launch import Launch, _is_launcher, read


def test_a_process_knows_its_place_among_its_siblings() -> None:
    assert read({}) == Launch(0, 0, 1, 1)
    assert read({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}).main is False
    with pytest.raises(ZooError, match="launch: asked for several processes, running 1"):
        read({"MASTER_ADDR": "127.0.0.1"})


@pytest.mark.parametrize(
    ("command", "launcher"),
    [
        ("python\0/usr/bin/accelerate\0launch", True),
        ("python\0-m\0torch.distributed.run\0x.py", True),
        ("python\0/x/site-packages/accelerate/commands/launch.py", True),
        ("python\0/venv/bin/accelerate-launch\0scripts/train.py", True),
        ("python\0-u\0-X\0dev\0-m\0torch.distributed.run\0x.py", True),
        ("bash\0run_accelerate.sh", False),
        ("bash\0torchrun_all.sh", False),
        ("python\0/home/accelerate-fan/start.py", False),
    ],
)
def test_only_a_launcher_takes_its_processes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, launcher: bool
) -> None:
    monkeypatch.setattr("zoo.system.launch.Path", lambda _: tmp_path / "cmdline")
    (tmp_path / "cmdline").write_text(command)
    assert _is_launcher(1) == launcher


TWO = Launch(rank=0, local_rank=0, processes=2, local_processes=2)
ALONE = Launch(rank=0, local_rank=0, processes=1, local_processes=1)

CLAIM = "from zoo.system.launch import claims_error_output as claim; print(claim(), claim())"


def claims(**environment: str) -> list[str]:
    """Start two processes with this process as their launcher, and return whether they may print an error; each asks twice."""
    found = []
    for rank in ("1", "0"):
        variables = os.environ | {"RANK": rank} | environment
        found += subprocess.run(
            [sys.executable, "-c", CLAIM], env=variables, capture_output=True, text=True, check=True
        ).stdout.split()
    return found


def test_of_the_processes_of_a_launch_the_first_to_ask_prints_the_error(cache: Path) -> None:
    assert claims(WORLD_SIZE="2", MASTER_PORT="1") == ["True", "False", "False", "False"]
    # Another launch by the same parent process.
    assert claims(WORLD_SIZE="2", MASTER_PORT="2")[0] == "True"
    assert claims(WORLD_SIZE="1") == ["True"] * 4


def test_records_of_old_launches_do_not_pile_up(cache: Path) -> None:
    (cache / "launches").mkdir(parents=True)
    (cache / "launches" / "old").touch()
    os.utime(cache / "launches" / "old", (1, 1))
    claims(WORLD_SIZE="2", MASTER_PORT="3")
    assert len(list((cache / "launches").iterdir())) == 1


def test_without_a_cache_the_main_process_prints_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert claims(WORLD_SIZE="2", ZOO_CACHE=str(tmp_path / "file")) == ["False", "False", "True", "True"]


def test_a_process_group_waits_as_long_as_the_recipe_says() -> None:
    assert launch.process_group_kwargs(TWO, 8) == {"timeout": timedelta(seconds=8)}
    assert launch.process_group_kwargs(ALONE, 8) == {}


# ------------------------------------------------------------------------- lost processes


def gloo_pair(seconds: float) -> list[dist.ProcessGroupGloo]:
    """Connect two ranks within this process, and let them reduce a tensor once."""
    store, groups = dist.HashStore(), {}

    def join(rank: int) -> None:
        groups[rank] = dist.ProcessGroupGloo(store, rank, 2, timedelta(seconds=seconds))
        groups[rank].allreduce([torch.ones(8)]).wait()

    threads = [threading.Thread(target=join, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [groups[0], groups[1]]


def silent_rank() -> None:
    first, _second = gloo_pair(0.5)
    first.allreduce([torch.ones(8)]).wait()


def ended_rank() -> None:
    first, second = gloo_pair(20)
    del second
    first.allreduce([torch.ones(8)]).wait()


def absent_rank() -> None:
    dist.TCPStore("127.0.0.1", 0, 2, True, timeout=timedelta(seconds=1), wait_for_workers=True)


def unreachable_main() -> None:
    dist.TCPStore("127.0.0.1", 1, 2, False, timeout=timedelta(seconds=0.1))


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch without gloo")
@pytest.mark.parametrize("happens", [silent_rank, ended_rank, absent_rank, unreachable_main])
def test_a_process_that_is_gone_or_silent_is_one_line(happens, capfd):
    """The errors are torch's own. Gloo raises plain RuntimeErrors, so this test fails if a new torch changes their texts."""
    with pytest.raises(LostProcess) as error, launch.lost_processes(TWO, 7):
        happens()
    assert str(error.value) == (
        "launch: process 0: another of the 2 processes ended, or did not answer for 7 s (see its error above, then --resume)"
    )


# The error of torch 2.14 between two network namespaces, each with its own loopback interface.
UNREACHABLE = (
    "Gloo connectFullMesh failed with [gloo/transport/tcp/pair.cc:152] timed out connecting: SO_ERROR: Connection refused, "
    "remote=[127.0.0.1]:18821$1"
)


@pytest.mark.parametrize(
    ("local", "todo"),
    [
        (1, "see their errors above; set GLOO_SOCKET_IFNAME to the network interface that all machines share, e.g. eth0"),
        (2, "see their errors above, then start again"),
    ],
)
def test_processes_that_cannot_connect_are_one_line(local: int, todo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth1")
    start = Launch(rank=1, local_rank=0, processes=2, local_processes=local)
    with pytest.raises(LostProcess) as error, launch.lost_processes(start, 7):
        raise RuntimeError(UNREACHABLE)
    assert str(error.value) == f"launch: process 1 cannot connect to the others over eth1 ({todo})"


def test_other_errors_and_a_process_alone_keep_their_own():
    for alone, text in [(TWO, "shapes do not match"), (ALONE, "Connection reset by peer")]:
        with pytest.raises(RuntimeError, match=text), launch.lost_processes(alone, 7):
            raise RuntimeError(text)
    with pytest.raises(ValueError, match="NCCL"), launch.lost_processes(TWO, 7):
        raise ValueError("NCCL")
