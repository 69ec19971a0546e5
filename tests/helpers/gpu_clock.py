"""Simulate a GPU: a host that launches kernels one after the other, and a queue that runs them in order.

The times of kernels are assumptions; the tests that use them state them. The numbers of launches and waits are counted on the
real code. The result therefore shows how long the host leaves a GPU idle, not how fast a GPU is.
"""

from __future__ import annotations

from dataclasses import dataclass

# Microseconds that the CPU of a workstation takes to launch a kernel through PyTorch.
LAUNCH_US = 6.0


@dataclass(frozen=True)
class Part:
    """A part of a training step.

    Attributes:
        host_us: microseconds that the host works before it launches anything.
        launches: number of kernels that it launches.
        gpu_us: microseconds that these kernels take together.
        waits: 0 if the host continues at once; with any other number, it waits at the end of the part until the queue is empty.
    """

    host_us: float = 0.0
    launches: int = 0
    gpu_us: float = 0.0
    waits: int = 0


def step_us(parts: list[Part], *, late: bool, steps: int = 60, skipped: int = 20) -> float:
    """Return the mean microseconds of a step over many steps.

    Args:
        parts: the parts of a step, in order.
        late: the host reads the result of each step after it has queued the next one. All other waits are those of the parts.
        steps: number of steps.
        skipped: number of first steps that are not counted, because the queue still fills up.
    """
    host = queue = 0.0
    ends: list[float] = []
    marks: list[float] = []
    for _ in range(steps):
        for part in parts:
            host += part.host_us
            for _ in range(part.launches):
                host += LAUNCH_US
                queue = max(queue, host) + part.gpu_us / part.launches
            if part.waits:
                host = max(host, queue)
        ends.append(queue)
        if late and len(ends) > 1:
            host = max(host, ends[-2])
        marks.append(host)
    return (marks[-1] - marks[skipped]) / (steps - 1 - skipped)
