"""A simulated GPU: a host that queues kernels one after the other, a queue that runs them in order, and nothing else.

The times of kernels are assumptions, and stated where they are used; how often the host launches and waits is counted on the
real code. So the result says what share of a GPU's time the host leaves it idle, and not how fast a GPU is.
"""

from __future__ import annotations

from dataclasses import dataclass

# Microseconds that a host takes to launch a kernel through PyTorch, with a processor of a workstation.
LAUNCH_US = 6.0


@dataclass(frozen=True)
class Part:
    """A part of a training step.

    Attributes:
        host_us: microseconds of the host alone, before it launches anything.
        launches: how many kernels it launches.
        gpu_us: microseconds that these take together.
        waits: how often the host waits for the queue to be empty afterwards.
    """

    host_us: float = 0.0
    launches: int = 0
    gpu_us: float = 0.0
    waits: int = 0


def step_us(parts: list[Part], *, late: bool, steps: int = 60, skipped: int = 20) -> float:
    """Return the mean microseconds of a step that is taken again and again.

    Args:
        parts: of the step, in their order.
        late: the host reads a step's result after it has queued the next step, and waits for nothing else.
        steps: how many are taken.
        skipped: of these, how many come before the queue has settled.
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
