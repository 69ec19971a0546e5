"""A process that has imported everything and forks a `zoo` on request: a start takes milliseconds and not seconds.

Reads requests as lines of JSON: {"arguments": [...], "environment": {...}, "output": FILE, "injections": [...]}, and answers
{"started": PID} to each, and {"ended": PID, "code": N} when a child ends (N < 0: by that signal).
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
import traceback
from typing import Any

import injections
import torch

import zoo.training.result
import zoo.training.run  # noqa: F401
from zoo.cli import main

# No pool of threads may run when this process forks.
torch.set_num_threads(1)


def child(request: dict[str, Any]) -> int:
    """Be a `zoo` process."""
    os.setsid()
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(request["environment"])
    for name, *arguments in request["injections"]:
        getattr(injections, name)(*arguments)
    try:
        code = main(request["arguments"])
        for look in injections.AFTERWARDS:
            look()
        return code
    except SystemExit as left:
        return int(left.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1


def serve() -> None:
    """Fork on request until the input ends."""
    alive: set[int] = set()
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.005 if alive else 0.2)
        if ready:
            received = os.read(0, 65536)
            if not received:
                return
            buffer += received
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                code = child(json.loads(line))
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            alive.add(pid)
            say({"started": pid})
        for pid in list(alive):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                alive.remove(pid)
                say({"ended": pid, "code": os.waitstatus_to_exitcode(status), "at": time.time()})


def say(event: dict[str, Any]) -> None:
    """Tell the harness."""
    os.write(1, json.dumps(event).encode() + b"\n")


if __name__ == "__main__":
    serve()
