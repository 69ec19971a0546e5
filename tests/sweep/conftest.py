from __future__ import annotations

from pathlib import Path

import pytest
from helpers.sweeps import Place

from zoo.system import signals


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    # After this call of a sweep, a process only notes signals; the process of the tests must still react to them.
    monkeypatch.setattr(signals, "defer", lambda: None)
    return Place(tmp_path, monkeypatch)
