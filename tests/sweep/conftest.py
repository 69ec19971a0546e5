from __future__ import annotations

from pathlib import Path

import pytest
from helpers.sweeps import Place

from zoo.system import signals


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    # A sweep notes signals from its first run on; this process is not to.
    monkeypatch.setattr(signals, "defer", lambda: None)
    return Place(tmp_path, monkeypatch)
