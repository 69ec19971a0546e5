"""`zoo bench --compare OLD.csv NEW.csv`: what became faster or slower, and whether it is more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.bench.rows import MODES, Row, key, number, read_csv

# What two rows must share for a difference to be one of speed alone.
HARDWARE = ("device", "cpu", "cores", "threads")
SETTINGS = ("batch_size", "img_size")
VERSIONS = ("torch", "timm", "zoo", "python")
# What is said of a row whose spread is not known (timm's tables have none): less than this is taken for noise.
UNKNOWN_SPREAD = 0.05


@dataclass(frozen=True)
class Ratio:
    """New over old speed: of the medians, and between the unlucky and the lucky ends of both spreads."""

    model: str
    mode: str
    old: float
    new: float
    low: float
    high: float
    notes: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The ratio of the medians."""
        return self.new / self.old

    @property
    def verdict(self) -> str:
        """Faster or slower where the spreads do not meet."""
        return "faster" if self.low > 1 else "slower" if self.high < 1 else "within noise"


def lines(old: Path, new: Path) -> list[str]:
    """The comparison of two `results.csv`, as lines of text.

    Raises:
        ZooError: one of them cannot be read.
    """
    before, after = ({key(row): row for row in read_csv(path)} for path in (old, new))
    shared = [name for name in before if name in after]
    said = [f"old  {_stamp(list(before.values()))}", f"new  {_stamp(list(after.values()))}"]
    unlike = sorted({name for one in shared for name in _unlike(before[one], after[one], HARDWARE)})
    if unlike:
        said.append(f"different hardware ({', '.join(unlike)}): the ratios are between machines and not between versions")
    elif any("device" not in before[one] for one in shared):
        said.append("neither table says on what hardware it was measured")
    versions = sorted({name for one in shared for name in _unlike(before[one], after[one], VERSIONS)})
    if versions:
        said.append(f"different versions of {', '.join(versions)}")
    ratios = [ratio for one in shared for mode in MODES if (ratio := compare(before[one], after[one], mode))]
    said += ["", *_table(ratios)]
    count = {verdict: sum(ratio.verdict == verdict for ratio in ratios) for verdict in ("faster", "slower", "within noise")}
    said += ["", ", ".join(f"{many} {verdict}" for verdict, many in count.items()) + _where(bool(unlike))]
    for title, rows, others in (("only in old", before, after), ("only in new", after, before)):
        alone = [_named(*one) for one in rows if one not in others]
        said += [f"{title}: {', '.join(alone)}"] if alone else []
    failed = [
        f"{_named(*one)} ({_status(before[one])}, {_status(after[one])})" for one in shared if _broken(before[one], after[one])
    ]
    return said + ([f"not measured in both: {', '.join(failed)}"] if failed else [])


def compare(old: Mapping[str, Any], new: Mapping[str, Any], mode: str) -> Ratio | None:
    """The ratio of one model in one mode; None where one of them has no speed."""
    column = f"{mode}_samples_per_sec"
    if not old.get(column) or not new.get(column):
        return None
    (old_low, old_high), (new_low, new_high) = (_spread(row, column) for row in (old, new))
    notes = [
        f"{name} {old[f'{mode}_{name}']} -> {new[f'{mode}_{name}']}" for name in SETTINGS if _differ(old, new, f"{mode}_{name}")
    ]
    notes += [
        f"{name} {old[name]} -> {new[name]}" for name in ("precision", "channels_last", "compile") if _differ(old, new, name)
    ]
    return Ratio(_named(*key(new)), mode, old[column], new[column], new_low / old_high, new_high / old_low, tuple(notes))


def _spread(row: Mapping[str, Any], column: str) -> tuple[float, float]:
    middle = row[column]
    half = UNKNOWN_SPREAD / 2
    return row.get(f"{column}_p10", middle * (1 - half)), row.get(f"{column}_p90", middle * (1 + half))


def _differ(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> bool:
    return name in old and name in new and old[name] != new[name]


def _unlike(old: Mapping[str, Any], new: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """The columns in which rows differ; one that says nothing of its hardware may be from anywhere."""
    return [name for name in columns if old.get(name) != new.get(name)]


def _stamp(rows: Sequence[Row]) -> str:
    """Where rows were measured, and when."""
    parts = {
        f"{row.get('device', 'unknown device')}, {row.get('threads', '?')} threads, torch {row.get('torch', '?')}" for row in rows
    }
    dates = sorted(str(row["date"])[:10] for row in rows if row.get("date"))
    return "; ".join(sorted(parts)) + (f", {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "") if dates else "")


def _named(model: str, processes: int) -> str:
    return model if processes == 1 else f"{model} x{processes}"


def _status(row: Mapping[str, Any]) -> str:
    return str(row.get("status", "ok"))


def _broken(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return _status(old) != "ok" or _status(new) != "ok"


def _where(unlike: bool) -> str:
    return ", on different hardware" if unlike else ""


def _table(ratios: Sequence[Ratio]) -> list[str]:
    width = max([len("model"), *(len(ratio.model) for ratio in ratios)])
    said = [f"{'model':<{width}} {'mode':<5} {'old/s':>9} {'new/s':>9} {'ratio':>6} {'spread':>11}  verdict"]
    for ratio in ratios:
        spread = f"{ratio.low:.2f}-{ratio.high:.2f}"
        notes = f" ({', '.join(ratio.notes)})" if ratio.notes else ""
        said.append(
            f"{ratio.model:<{width}} {ratio.mode:<5} {number(ratio.old):>9} {number(ratio.new):>9} "
            f"{ratio.value:>6.2f} {spread:>11}  {ratio.verdict}{notes}"
        )
    return said
