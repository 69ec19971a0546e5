"""This machine and its software: processor, cores, versions of packages."""

from __future__ import annotations

import itertools
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from zoo.system.files import printable

# The packages whose versions decide the outcome of a run.
PACKAGES = ("torch", "torchvision", "timm", "accelerate", "numpy", "pillow", "safetensors")
# The environment variable that selects NVIDIA's GPUs.
GPUS = "CUDA_VISIBLE_DEVICES"
# Where the driver has a file for each GPU, such as nvidia0.
DEVICES = Path("/dev")
# Linux's file about the processor; missing on other systems.
CPU_INFO = Path("/proc/cpuinfo")


def versions() -> dict[str, str]:
    """Return the versions of Python, zoo and the packages that decide the outcome of a run."""
    found = {"python": platform.python_version(), "zoo": metadata_version("zoo-trainer")}
    return found | {name: metadata_version(name) for name in PACKAGES}


def metadata_version(name: str) -> str:
    """Return the version of a package, or '' if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def environment(**more: Any) -> dict[str, Any]:
    """Return the content of a run's `environment.json`: the date, the command and the machine of the run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [printable(word) for word in sys.argv],
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": cores(),
        "versions": versions(),
        **more,
    }


def visible_gpus() -> list[str]:
    """Return the NVIDIA GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; neither torch nor CUDA is used."""
    chosen = os.environ.get(GPUS)
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        # CUDA ignores the first invalid name and all after it.
        return list(itertools.takewhile(lambda name: name not in ("", "-1"), names))
    # CUDA counts from 0, whatever the numbers of the files are: in a container, they are those of the host.
    return [str(number) for number, _ in enumerate(DEVICES.glob("nvidia[0-9]*"))]


def cpu_name() -> str:
    """Return the processor's name."""
    return next(iter(_cpu_info("model name")), platform.processor())


def cpu_flags() -> frozenset[str]:
    """Return Linux's names of the processor's instruction sets, or an empty set if they are unknown."""
    # x86 calls them flags, ARM features.
    lines = [*_cpu_info("flags"), *_cpu_info("Features")]
    return frozenset(lines[0].split()) if lines else frozenset()


def _cpu_info(field: str) -> list[str]:
    """Return the values of a field of /proc/cpuinfo, one per core."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field]


def cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
