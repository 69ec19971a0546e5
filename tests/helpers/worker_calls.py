"""Functions that tests call in worker processes. No heavy package is imported here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Send = Callable[[dict[str, Any]], None]


def answer(arguments: Mapping[str, Any], send: Send) -> None:
    send({"half": arguments["number"] / 2})
    send({"pid": os.getpid(), "title": Path("/proc/self/comm").read_text().strip(), "rank": os.environ.get("RANK")})


def fail(arguments: Mapping[str, Any], send: Send) -> None:
    send({"before": 1})
    raise ValueError("\n first line \nsecond line")


def crash(arguments: Mapping[str, Any], send: Send) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(arguments: Mapping[str, Any], send: Send) -> None:
    print("a library says why", flush=True)
    os._exit(9)


def hang(arguments: Mapping[str, Any], send: Send) -> None:
    send({"pid": os.getpid()})
    time.sleep(600)


def meet(arguments: Mapping[str, Any], send: Send) -> None:
    """Send the environment variables that a launcher would set."""
    send({name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")})


def crash_or_complain(arguments: Mapping[str, Any], send: Send) -> None:
    """Kill the second of two processes; the first reports only a closed connection."""
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    raise RuntimeError("Connection closed by peer")


def wait_for_a_signal(arguments: Mapping[str, Any], send: Send) -> None:
    def handle(number: int, frame: object) -> None:
        send({"stopped by": signal.Signals(number).name})
        raise TimeoutError

    signal.signal(signal.SIGTERM, handle)
    try:
        send({"ready": True})
        time.sleep(60)
    except TimeoutError:
        return
