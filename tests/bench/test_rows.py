from __future__ import annotations

from pathlib import Path

import pytest
from helpers.benches import table
from helpers.stand_in import FIGURES

from zoo.bench import rows
from zoo.bench.settings import Settings
from zoo.results.measured import read_rows
from zoo.system.table import heading


@pytest.mark.parametrize(
    ("share", "slow", "fast", "verdict"),
    [
        (0.4, 95.0, 104.0, "model-bound"),
        (0.6, 95.0, 104.0, "data-bound"),
        (0.6, 100.0, 150.0, "data-bound"),
        (0.6, 100.0, 151.0, "busy machine"),
        (0.1, 50.0, 100.0, "busy machine"),
    ],
)
def test_the_verdict_needs_steady_steps(share: float, slow: float, fast: float, verdict: str) -> None:
    assert rows.verdict(share, slow, fast) == verdict


def test_a_note_names_the_rows_of_a_busy_machine() -> None:
    busy = [{"model": f"net{number}", "verdict": rows.BUSY} for number in range(4)]
    assert rows.busy_note([{"model": "vit", "verdict": "model-bound"}]) == ""
    assert rows.busy_note([*busy, {"model": "vit"}]).startswith("4 of 5 rows (net0, net1, net2, …) have no verdict")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = table(tmp_path, "one", channels_last=True, processes=2, error="a, b", torch="2.14.1")
    (row,) = read_rows(path.parent, "a benchmark")
    assert list(row) == rows.COLUMNS
    (read,) = rows.read_csv(path)
    assert read == {name: value for name, value in row.items() if value is not None}
    assert rows.key(read) == ("resnet18", 2)


def test_lines_are_as_wide_as_their_heading() -> None:
    row = {"model": "resnet18", "status": "ok", "param_count": 11.69, "gmacs": 1.82, "precision": "fp32", "channels_last": True}
    row |= {f"{mode}_{key}": value for mode in rows.MODES for key, value in FIGURES.items()}
    row |= {"data_share": 0.05, "verdict": rows.BUSY, "processes": 2, "efficiency": 0.97}
    shown = rows.columns(Settings(), ["resnet18", "test_efficientnet"], scaling=True)
    line = rows.line(row, shown)
    assert len(line) == len(heading(shown))
    assert " 11.69 M " in line
    assert " 5 % " in line
    assert line.endswith(" 97 %")
    failed = {"model": "resnet18", "status": "oom", "error": "too large", "processes": 2}
    assert rows.line(failed, shown) == "resnet18          oom (2 processes): too large"
    unknown = {**row, "data_share": None}
    assert " - " in rows.line(unknown, shown)


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (100, "100"), (99.94, "99.9"), (1.234, "1.23")])
def test_speeds_have_three_digits_or_more(value: float, text: str) -> None:
    assert rows.number(value) == text
