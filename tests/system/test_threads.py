"""The CPU threads of a process, and the memory that it frees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from zoo.system import threads
from zoo.system.launch import Launch


def launch(processes: int) -> Launch:
    return Launch(rank=0, local_rank=0, processes=processes, local_processes=processes)


def test_auto_shares_the_cores_among_the_processes_of_the_machine(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 8)
    assert [threads.threads_of("auto", launch(processes)) for processes in (1, 2, 3, 100)] == [8, 4, 2, 1]
    assert threads.threads_of(3, launch(2)) == 3


def test_libraries_and_torch_get_the_same_number():
    threads.announce_threads(1, launch(1))
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert threads.set_threads(1, launch(1)) == torch.get_num_threads() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_stays_with_the_process():
    code = (
        "from zoo.system.threads import keep_freed_memory\n"
        "from pathlib import Path\n"
        "def mb(): return int(Path('/proc/self/status').read_text().partition('VmRSS:')[2].split()[0]) / 1000\n"
        "assert keep_freed_memory()\nbefore = mb()\nblock = bytearray(b'x' * 60_000_000)\ndel block\nassert mb() > before + 50\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
