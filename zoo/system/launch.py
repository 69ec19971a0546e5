"""How a process was launched: its rank among its siblings, and how they live and die together."""

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

# Programs and modules that start a run's processes.
LAUNCHERS = (
    *(b"accelerate", b"accelerate-launch", b"accelerate.commands.launch", b"accelerate.commands.accelerate_cli"),
    *(b"torchrun", b"torch.distributed.run", b"torch.distributed.launch"),
)


@dataclass(frozen=True)
class Launch:
    """This process among its siblings, as the launcher's environment variables say."""

    rank: int
    local_rank: int
    processes: int
    local_processes: int

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0


def read(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read what torchrun or `accelerate launch` set.

    Raises:
        ZooError: several processes were asked for, and would not know of each other.
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
    """Whether to train on CPUs: there is nothing else, or `ACCELERATE_USE_CPU` asks for it.

    Accelerate is told explicitly: left alone it would start several processes of a machine without a GPU so
    that each believes to be the only one.
    """
    import torch

    asked = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    device = torch.accelerator.current_accelerator(check_available=True)
    # Apple's GPUs have no float64, which the sums of a run are kept in.
    return asked or device is None or device.type == "mps"


# What gloo, NCCL and torch's store say when another process is gone, or silent for too long.
LOST = re.compile(r"gloo|NCCL|Connection (closed|reset|refused)|Timed? ?out|wait timeout|recvValue|Broken pipe", re.IGNORECASE)
PR_SET_PDEATHSIG = 1


def process_group_kwargs(launch: Launch, seconds: int) -> dict[str, Any]:
    """How long a process group waits for a process: torch's own default would be half an hour."""
    return {"timeout": timedelta(seconds=seconds)} if launch.processes > 1 else {}


@contextlib.contextmanager
def lost_processes(launch: Launch, seconds: int) -> Iterator[None]:
    """Turn what torch raises when another process is gone into one line.

    Raises:
        LostProcess: another process ended, or did not answer in time.
    """
    try:
        yield
    except RuntimeError as error:
        if launch.processes == 1 or not LOST.search(str(error)):
            raise
        what = f"another of the {launch.processes} processes ended, or did not answer for {seconds} s"
        raise LostProcess("launch", f"process {launch.rank}: {what}", "see above for its error; go on with --resume") from None


def follow_launcher() -> None:
    """Get SIGTERM when the launcher ends: `accelerate launch` does not pass signals on, and would leave us behind.

    A shell that ends is no reason to stop (`nohup zoo train … &`), so that only a launcher counts.
    """
    parent = os.getppid()
    if sys.platform != "linux" or not _is_launcher(parent):
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def _is_launcher(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    # The program, the script that Python runs, or the module after -m: not any script that has the name in its own.
    words = [word for word in command.split(b"\0") if word]
    plain = [word for number, word in enumerate(words) if not word.startswith(b"-") and words[number - 1] not in (b"-X", b"-W")]
    inside = any(part in word for word in plain[:2] for part in (b"accelerate/commands/", b"torch/distributed/"))
    return inside or any(word.rpartition(b"/")[2] in LAUNCHERS for word in plain[:2])


def claims_error_output() -> bool:
    """Whether this process may tell of an error: of the processes of one launch on a machine, the first that asks.

    All of them may meet the same mistake, or one alone, and the others its absence.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return True
    parent = os.getppid()
    try:
        started = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]
        folder = cache_root() / "launches"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if time.time() - old.stat().st_mtime > 86_400:
                old.unlink(missing_ok=True)
        name = f"{parent}-{started}-{os.environ.get('MASTER_PORT', '')}"
        os.close(os.open(folder / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except (OSError, IndexError):
        return os.environ.get("RANK", "0") == "0"
    return True
