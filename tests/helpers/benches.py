"""Write and read the rows of benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.stand_in import FIGURES
from zoo.bench.rows import COLUMNS
from zoo.results.measured import write_rows


def table(folder: Path, name: str, **columns: Any) -> Path:
    """Write the results of a benchmark that trained one model; return the path of the CSV file."""
    row = {"model": "resnet18", "status": "ok", "device": "a CPU", "cpu": "a CPU", "cores": 2, "threads": 2, "torch": "2"}
    row |= {f"train_{key}": value for key, value in FIGURES.items()} | columns
    folder.joinpath(name).mkdir()
    write_rows(folder / name, [row], COLUMNS)
    return folder / name / "results.csv"


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["model"]: row for row in json.loads((folder / "results.json").read_text())}
