"""A stand-in for `zoo.scout.measure`: what happens to a backbone depends on its name."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from zoo.scout.settings import WARNING, Request

Say = Callable[[dict[str, Any]], None]


def stamp(arguments: Mapping[str, Any], say: Say) -> None:
    say({"device": os.environ.get("FAKE_DEVICE", "a CPU")})


def measure(arguments: Mapping[str, Any], say: Say) -> None:
    """Report made-up figures, or fail in a way that depends on the backbone's name."""
    request: Request = arguments["request"]
    name = request.candidate.name
    say({"param_count": 1.5, "gmacs": 0.5, "features": 8, "weights": request.recipe["backbone"]["weights"]["kind"]})
    if request.data == "full":
        say({WARNING: f"the disk is full: {name}"})
    if name.startswith("resnet26."):
        raise MemoryError
    if name.startswith("resnet34."):
        os.kill(os.getpid(), signal.SIGKILL)
    worth = 0.2 if request.candidate.control or name.startswith("resnet14t.") else 0.9
    say({"probe": worth, "probe_sd": 0.01, "probe_folds": [worth, worth, worth], "knn": 0.5, "images_per_second": 100.0})
    say({"single_ms": 5.0, "images": len(request.positions)})
    if not request.candidate.control:
        say({"minutes": 2.0})
