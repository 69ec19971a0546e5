"""How a process was launched, checked before anything is built: ranks, devices, CPU threads, precision."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.errors import ZooError
from zoo.run import cores

if TYPE_CHECKING:
    from zoo.recipe import Recipe


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


def check(recipe: Recipe) -> None:
    """See that what the recipe asks for is to be had here.

    Raises:
        ZooError: fp16 without a GPU, or another precision asked of the launcher.
    """
    if recipe.train.precision == "fp16" and on_cpu():
        raise ZooError("train.precision", "fp16 needs a GPU", "use auto, bf16 or fp32")
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    ours = {"fp32": "no"}.get(recipe.train.precision, recipe.train.precision)
    if asked not in ("no", ours):
        raise ZooError(
            "launch",
            f"--mixed_precision {asked}, but train.precision is {recipe.train.precision}",
            f"set train.precision={asked}",
        )


def on_cpu() -> bool:
    """Whether to train on CPUs: there is nothing else, or `ACCELERATE_USE_CPU` asks for it.

    Accelerate is told explicitly: left alone it would start several processes of a machine without a GPU so
    that each believes to be the only one.
    """
    import torch

    asked = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    return asked or not torch.accelerator.is_available()


def set_threads(asked: int | str, launch: Launch) -> int:
    """Give torch its CPU threads: `accelerate launch` leaves each process one.

    Returns:
        The number of threads.
    """
    import torch

    threads = asked if isinstance(asked, int) else max(1, cores() // launch.local_processes)
    torch.set_num_threads(threads)
    return threads
