"""Compare two `results.csv` files: which models became faster or slower, by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.bench.rows import MODES, Row, key, number, read_csv
from zoo.system.table import Column, align

# The name of a model and the number of processes.
Key = tuple[str, int]

# Columns of the hardware: unless they are equal, a difference in speed may not come from the software.
HARDWARE = ("device", "cpu", "cores", "threads")
# Columns of a mode that must be equal for speeds to be comparable; a difference is noted in the row.
MODE_SETTINGS = ("batch_size", "img_size")
# The same for columns of the whole row.
ROW_SETTINGS = ("precision", "channels_last", "compile")
# Columns whose difference is reported above the table.
VERSIONS = ("torch", "timm", "zoo", "python")
# Assumed spread of a row without percentiles, as in timm's tables; a share of the median.
UNKNOWN_SPREAD = 0.05
# The verdicts, in the order of the summary.
VERDICTS = ("faster", "slower", "within noise")


@dataclass(frozen=True)
class Ratio:
    """New over old speed of one model in one mode.

    Args:
        model: its name, with the number of processes if there are several.
        mode: `train` or `infer`.
        old: median images/s.
        new: median images/s.
        low: new 10th percentile over old 90th percentile: the smallest ratio that both spreads allow.
        high: new 90th percentile over old 10th percentile: the largest.
        notes: settings that differ between the two.
    """

    model: str
    mode: str
    old: float
    new: float
    low: float
    high: float
    notes: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """Return the ratio of the medians."""
        return self.new / self.old

    @property
    def verdict(self) -> str:
        """Return `faster` or `slower` if the two spreads do not overlap, else `within noise`."""
        return "faster" if self.low > 1 else "slower" if self.high < 1 else "within noise"


def lines(old: Path, new: Path) -> list[str]:
    """Compare two `results.csv` files; return the lines to print.

    Raises:
        ZooError: one of the files cannot be read.
    """
    before, after = ({key(row): row for row in read_csv(path)} for path in (old, new))
    shared = [name for name in before if name in after]
    pairs = [(before[name], after[name]) for name in shared]
    unlike = sorted({name for one, other in pairs for name in _unlike(one, other, HARDWARE)})
    ratios = [ratio for one, other in pairs for mode in MODES if (ratio := compare(one, other, mode))]
    verdicts = [ratio.verdict for ratio in ratios]
    summary = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS)
    return [
        f"old  {_stamp(list(before.values()))}",
        f"new  {_stamp(list(after.values()))}",
        *_warnings(pairs, unlike),
        "",
        *align(ratios, TABLE, gap="  "),
        "",
        summary + (", on different hardware" if unlike else ""),
        *_left_out(before, after, shared),
    ]


def _warnings(pairs: Sequence[tuple[Row, Row]], unlike: Sequence[str]) -> list[str]:
    """Return a line for each reason besides the code why speeds may differ; `unlike` lists hardware columns that differ."""
    found = []
    if unlike:
        found.append(f"different hardware ({', '.join(unlike)}): the ratios compare machines, not versions")
    elif any("device" not in old for old, _ in pairs):
        found.append("neither table names the hardware it was measured on")
    versions = sorted({name for old, new in pairs for name in _unlike(old, new, VERSIONS)})
    return found + ([f"different versions of {', '.join(versions)}"] if versions else [])


def _left_out(before: Mapping[Key, Row], after: Mapping[Key, Row], shared: Sequence[Key]) -> list[str]:
    """Return lines that list the rows found in only one table, and the rows that failed in at least one."""
    found = []
    for title, rows, others in (("only in old", before, after), ("only in new", after, before)):
        if alone := [_named(*one) for one in rows if one not in others]:
            found.append(f"{title}: {', '.join(alone)}")
    failed = [
        f"{_named(*one)} ({_status(before[one])}, {_status(after[one])})"
        for one in shared
        if {_status(before[one]), _status(after[one])} != {"ok"}
    ]
    return found + ([f"not measured in both: {', '.join(failed)}"] if failed else [])


def compare(old: Mapping[str, Any], new: Mapping[str, Any], mode: str) -> Ratio | None:
    """Return the ratio of one model in one mode, or None if one of the rows has no speed."""
    column = f"{mode}_samples_per_sec"
    if not old.get(column) or not new.get(column):
        return None
    (old_low, old_high), (new_low, new_high) = (_spread(row, column) for row in (old, new))
    settings = [(name, f"{mode}_{name}") for name in MODE_SETTINGS] + [(name, name) for name in ROW_SETTINGS]
    notes = [f"{name} {old[place]} -> {new[place]}" for name, place in settings if _differ(old, new, place)]
    return Ratio(_named(*key(new)), mode, old[column], new[column], new_low / old_high, new_high / old_low, tuple(notes))


def _spread(row: Mapping[str, Any], column: str) -> tuple[float, float]:
    """Return the 10th and the 90th percentile of a row's images/s."""
    middle = row[column]
    half = UNKNOWN_SPREAD / 2
    return row.get(f"{column}_p10", middle * (1 - half)), row.get(f"{column}_p90", middle * (1 + half))


def _differ(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> bool:
    return name in old and name in new and old[name] != new[name]


def _unlike(old: Mapping[str, Any], new: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Return the columns in which two rows differ; a column that only one of them has counts as different."""
    return [name for name in columns if old.get(name) != new.get(name)]


def _stamp(rows: Sequence[Row]) -> str:
    """Return the devices that rows were measured on, and the dates."""
    parts = {
        f"{row.get('device', 'unknown device')}, {row.get('threads', '?')} threads, torch {row.get('torch', '?')}" for row in rows
    }
    dates = sorted(str(row["date"])[:10] for row in rows if row.get("date"))
    return "; ".join(sorted(parts)) + (f", {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "") if dates else "")


def _named(model: str, processes: int) -> str:
    return model if processes == 1 else f"{model} x{processes}"


def _status(row: Mapping[str, Any]) -> str:
    return str(row.get("status", "ok"))


TABLE = [
    Column("model", lambda ratio: ratio.model, left=True),
    Column("mode", lambda ratio: ratio.mode, left=True),
    Column("old/s", lambda ratio: number(ratio.old)),
    Column("new/s", lambda ratio: number(ratio.new)),
    Column("ratio", lambda ratio: f"{ratio.value:.2f}"),
    Column("spread", lambda ratio: f"{ratio.low:.2f}-{ratio.high:.2f}"),
    Column("verdict", lambda ratio: ratio.verdict + (f" ({', '.join(ratio.notes)})" if ratio.notes else ""), left=True),
]
