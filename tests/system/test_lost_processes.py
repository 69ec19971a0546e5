"""A canary: what torch raises when another process is gone is recognized. All of it is provoked, in one process and cheaply."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from zoo.errors import LostProcess
from zoo.system import launch

TWO = launch.Launch(rank=0, local_rank=0, processes=2, local_processes=2)
ALONE = launch.Launch(rank=0, local_rank=0, processes=1, local_processes=1)


def gloo_pair(seconds: float) -> list[dist.ProcessGroupGloo]:
    """Connect two ranks that live in this process, and let them agree once."""
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
    with pytest.raises(LostProcess) as error, launch.lost_processes(TWO, 7):
        happens()
    assert str(error.value) == (
        "launch: process 0: another of the 2 processes ended, or did not answer for 7 s (see its error above, then --resume)"
    )


def test_other_errors_and_a_process_alone_keep_their_own():
    for alone, text in [(TWO, "shapes do not match"), (ALONE, "Connection reset by peer")]:
        with pytest.raises(RuntimeError, match=text), launch.lost_processes(alone, 7):
            raise RuntimeError(text)
    with pytest.raises(ValueError, match="NCCL"), launch.lost_processes(TWO, 7):
        raise ValueError("NCCL")
