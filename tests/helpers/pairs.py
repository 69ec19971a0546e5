"""Call a function on two processes of one launch."""

from __future__ import annotations

from typing import Any

from zoo.system import workers


def call_on_two(function: str, **arguments: Any) -> dict[str, Any]:
    """Call a function, such as `helpers.process_calls:share`, on two processes; return what the first one sent."""
    heard: dict[str, Any] = {}
    outcome = workers.run(workers.WorkerCall(function, arguments, "pair"), heard.update, processes=2, timeout=90)
    assert outcome.status == "ok", outcome
    return heard
