"""A stand-in for `zoo.bench.measure`: what happens to a model depends on its name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from zoo.bench.rows import BUSY, MODEL_BOUND
from zoo.bench.settings import Request
from zoo.errors import ZooError

Say = Callable[[dict[str, Any]], None]

FIGURES = {
    "samples_per_sec": 100.0,
    "samples_per_sec_p10": 95.0,
    "samples_per_sec_p90": 104.0,
    "step_time": 80.0,
    "batch_size": 8,
    "img_size": 32,
    "peak_memory_mb": 500,
    "peak_share": 0.4,
}


def stamp(arguments: Mapping[str, Any], say: Say) -> None:
    say({"device": os.environ.get("FAKE_DEVICE", "a CPU"), "device_type": "cpu"})


def measure(arguments: Mapping[str, Any], say: Say) -> None:
    """Report made-up figures, or fail in a way that depends on the model's name."""
    request: Request = arguments["request"]
    print("a library says something")
    say({"param_count": 1.5, "gmacs": 0.5, "threads": 1, "precision": "fp32", "channels_last": False})
    name = request.model
    say({f"infer_{column}": value for column, value in FIGURES.items()})
    if name == "resnet26":
        raise MemoryError
    if name == "resnet34":
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes\nmore")
    if name == "resnet33ts":
        try:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        except RuntimeError:
            raise ZooError("backbone.weights", "does not fit") from None
    if name == "resnet50":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "resnet101":
        time.sleep(60)
    if name == "resnet152":
        raise ValueError("one\ntwo")
    if name == "resnet14t":
        os._exit(9)
    rank = int(os.environ.get("RANK", "0"))
    say(
        {f"train_{column}": value for column, value in FIGURES.items()}
        | {"data_share": 0.1, "verdict": BUSY if name == "resnet18d" else MODEL_BOUND}
    )
    say({"timed_seconds": 0.1, "warmup_seconds": 0.1, "rank": rank, "world": os.environ.get("WORLD_SIZE", "1")})
    say({"choice": request.settings.precision})
