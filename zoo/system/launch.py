"""The launch of this process: its rank among the processes of a run, and what happens when one of them ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from zoo.errors import LostProcess, ZooError
from zoo.system.files import cache_root
from zoo.system.network import INTERFACE

# Names of the programs and modules that start the processes of a run.
LAUNCHERS = (
    *(b"accelerate", b"accelerate-launch", b"accelerate.commands.launch", b"accelerate.commands.accelerate_cli"),
    *(b"torchrun", b"torch.distributed.run", b"torch.distributed.launch"),
)
# Messages of gloo, and in older versions of torch also of NCCL and torch's store, if another process of the run is gone or
# silent for too long: plain RuntimeErrors, known only by their text. tests/system/test_launch.py provokes the real texts.
LOST = re.compile(r"gloo|NCCL|Connection (closed|reset|refused)|Timed? ?out|wait timeout|recvValue|Broken pipe", re.IGNORECASE)
# Part of gloo's message if it cannot connect the processes in the first place.
UNREACHABLE = "connectFullMesh"
# prctl.h: the signal that this process gets when its parent ends.
PR_SET_PDEATHSIG = 1
# Seconds after which the records of a launch are removed: a day, longer than a launch takes to set up or to fail.
RECORD_SECONDS = 86_400


@dataclass(frozen=True)
class Launch:
    """The place of this process among the processes of a run, from the launcher's environment variables.

    Attributes:
        rank: its number among all processes, from 0.
        local_rank: its number among the processes of this machine, from 0.
        processes: the number of all processes.
        local_processes: the number of processes on this machine.
    """

    rank: int
    local_rank: int
    processes: int
    local_processes: int

    @property
    def main(self) -> bool:
        """Return whether this is the process that writes and prints."""
        return self.rank == 0


def read(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read the environment variables that torchrun or `accelerate launch` set.

    Raises:
        ZooError: several processes were requested, but each would run as the only one.
    """
    processes = int(environment.get("WORLD_SIZE", 1))
    launch = Launch(
        rank=int(environment.get("RANK", 0)),
        local_rank=int(environment.get("LOCAL_RANK", 0)),
        processes=processes,
        local_processes=int(environment.get("LOCAL_WORLD_SIZE", processes)),
    )
    todo = "on CPUs: ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes N"
    if processes == 1 and "MASTER_ADDR" in environment and "WORLD_SIZE" not in environment:
        raise ZooError("launch", "asked for several processes, running 1", todo)
    return launch


def on_cpu() -> bool:
    """Return whether to train on CPUs: the recipe or `ACCELERATE_USE_CPU` asks for it, or there is no usable GPU.

    Accelerate needs to know this. On a machine without a GPU, each of several processes would otherwise run as the only one.
    """
    import torch

    device = torch.accelerator.current_accelerator(check_available=True)
    # Apple's GPUs have no float64, the dtype of the sums of a run.
    return _wish.cpu or environment_asks_for_cpu() or device is None or device.type == "mps"


def environment_asks_for_cpu() -> bool:
    """Return whether `ACCELERATE_USE_CPU` asks for CPUs; `accelerate launch` sets it to False by default."""
    return os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")


class _Wish:
    """The device that the current recipe asks for: a process has a single one.

    Attributes:
        cpu: whether the recipe has `train.device: cpu`.
    """

    cpu = False


_wish = _Wish()


def wish_for_cpu(cpu: bool) -> None:
    """Tell `on_cpu` whether the current recipe asks for the CPU; this replaces the wish of an earlier recipe."""
    _wish.cpu = cpu


def process_group_kwargs(launch: Launch, seconds: int) -> dict[str, Any]:
    """Return the arguments of a process group that waits `seconds` for a process; torch's default is half an hour."""
    return {"timeout": timedelta(seconds=seconds)} if launch.processes > 1 else {}


@contextlib.contextmanager
def lost_processes(launch: Launch, seconds: int) -> Iterator[None]:
    """Turn the errors that torch raises when another process is gone into one line.

    Raises:
        LostProcess: another process ended, or did not answer within `seconds`.
    """
    try:
        yield
    except RuntimeError as error:
        if launch.processes == 1 or not means_lost_process(error):
            raise
        where = f"process {launch.rank}"
        if UNREACHABLE in str(error):
            what = f"{where} cannot connect to the others over {os.environ.get(INTERFACE, 'the network')}"
            todo = "see their errors above, then start again"
            if launch.processes > launch.local_processes:
                todo = f"see their errors above; set {INTERFACE} to the network interface that all machines share, e.g. eth0"
            raise LostProcess("launch", what, todo) from None
        what = f"another of the {launch.processes} processes ended, or did not answer for {seconds} s"
        raise LostProcess("launch", f"{where}: {what}", "see its error above, then --resume") from None


def means_lost_process(error: RuntimeError) -> bool:
    """Return whether an error says that another process of the run is gone, or does not answer."""
    from torch import distributed

    # Errors of torch's store and NCCL have their own types; a torch built without `distributed` has none of them.
    known = getattr(distributed, "DistError", ())
    return isinstance(error, known) or LOST.search(str(error)) is not None


def follow_launcher() -> None:
    """Request SIGTERM when the launcher ends: `accelerate launch` does not pass signals on, and would leave us running.

    Other parents do not matter: a run continues when the shell that started it ends (`nohup zoo train ... &`).
    """
    parent = os.getppid()
    if sys.platform != "linux" or not _is_launcher(parent):
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def _is_launcher(pid: int) -> bool:
    """Return whether a process is one of `LAUNCHERS`."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    # Look at the program, the script that Python runs and the module after -m, but not at other arguments: a recipe may
    # be called torchrun.
    words = [word for word in command.split(b"\0") if word]
    plain = [word for number, word in enumerate(words) if not word.startswith(b"-") and words[number - 1] not in (b"-X", b"-W")]
    inside = any(part in word for word in plain[:2] for part in (b"accelerate/commands/", b"torch/distributed/"))
    return inside or any(word.rpartition(b"/")[2] in LAUNCHERS for word in plain[:2])


def claims_error_output() -> bool:
    """Elect one process per launch and machine to print an error: the first to ask. Return whether it is this one.

    Often all processes fail with the same error, which should be printed once. But it need not be rank 0 that prints it,
    since any process may be the only one that failed.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return True
    try:
        os.close(os.open(record("error"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except (OSError, IndexError):
        return os.environ.get("RANK", "0") == "0"
    return True


def record(name: str) -> Path:
    """Return the path of a cache file that the processes of one launch on one machine share; remove old ones.

    Raises:
        OSError, IndexError: the cache cannot be written, or the system does not tell when the launcher started.
    """
    parent = os.getppid()
    # The launcher's start time, besides its pid: pids are used again.
    started = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]
    folder = cache_root() / "launches"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process removes them too
            if time.time() - old.stat().st_mtime > RECORD_SECONDS:
                old.unlink()
    return folder / f"{parent}-{started}-{os.environ.get('MASTER_PORT', '')}-{name}"
