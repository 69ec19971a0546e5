"""Read and make the rows of benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["model"]: row for row in json.loads((folder / "results.json").read_text())}
