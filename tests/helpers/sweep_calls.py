"""A stand-in for training a run in its own process. `until_epoch`, the epoch to pause after, decides what happens to the run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any


def train_run(arguments: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    what = arguments["until_epoch"]
    if what == 1:
        print(f"trained {arguments['recipe'].name}", flush=True)
    elif what == 2:
        raise ValueError("why")
    elif what == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == 4:
        print(f"hangs {os.getpid()}", flush=True)
        time.sleep(600)
    else:
        stop_at_a_signal(send)


def stop_at_a_signal(send: Callable[[dict[str, Any]], None]) -> None:
    def handle(number: int, frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGTERM, handle)
    try:
        print("waits", flush=True)
        time.sleep(600)
    except TimeoutError:
        send({"stopped": "stopped"})
