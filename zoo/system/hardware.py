"""This machine and its software: processor, cores, versions of packages."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "timm", "accelerate", "numpy", "pillow", "safetensors")


def versions() -> dict[str, str]:
    """Python and the packages that decide what a run does."""
    found = {"python": platform.python_version(), "zoo": metadata_version("zoo-trainer")}
    return found | {name: metadata_version(name) for name in PACKAGES}


def metadata_version(name: str) -> str:
    """An installed package's version, '' where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def environment(**more: Any) -> dict[str, Any]:
    """What a run ran on: `environment.json`."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": cores(),
        "versions": versions(),
        **more,
    }


def cpu_name() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
