"""A fixture of the fault tests: one server that forks `zoo` processes for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.faults.harness import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("consoles"))
    yield started
    started.close()
