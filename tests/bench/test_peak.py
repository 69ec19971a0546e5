from __future__ import annotations

import torch

from zoo.bench import peak


def test_the_fastest_product_counts(monkeypatch) -> None:
    monkeypatch.setattr(peak, "SIDES", {"cpu": (8, 64)})
    clock = iter(range(10_000))
    # Each product takes one second on this clock, so the larger one has more operations per second.
    monkeypatch.setattr(peak.time, "perf_counter", lambda: float(next(clock)))
    assert peak.matrix_peak(torch.device("cpu"), "fp32") == 2 * 64**3 / 1e12
