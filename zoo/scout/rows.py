"""The rows of a scouting: their columns, their order, the printed table, the best backbones and the sweep command."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.errors import ZooError, nearest
from zoo.models import catalog
from zoo.results.measured import Row
from zoo.system import table
from zoo.system.table import Column

# Accuracies are from 0 to 1, speeds in images/s, parameters in millions, memory in MB of 10**6 bytes; times name their unit.
COLUMNS = [
    *("model", "control", "status", "error", "probe", "probe_sd", "knn", "images_per_second", "single_ms", "minutes"),
    *("param_count", "gmacs", "features", "license", "image_size", "images", "folds", "weights"),
    *("train_images_per_second", "train_peak_memory_mb", "precision", "channels_last"),
    *("probe_folds", "penalties", "probe_seconds", "seconds"),
    *("device", "cpu", "cores", "torch", "timm", "zoo", "python", "date"),
]
# Columns that hold a list, which are left out of CSV files.
LISTS = ("probe_folds", "penalties")
# The column of each value of `--sort`, and whether it is sorted in descending order.
SORTS = {"probe": ("probe", True), "knn": ("knn", True), "speed": ("images_per_second", True), "name": ("model", False)}
# Kinds of `backbone.weights` that work for any backbone; a file, a package or a run holds the weights of a single one.
FOR_ALL = ("auto", "pretrained", "random")
# The option that finds weights for every backbone.
AUTO = "backbone.weights=auto"
# Options that a sweep sets itself: they are not passed on to the proposed sweep.
SET_BY_SWEEP = ("backbone.name", "name", "output.root", "train.seed")
# Maximum number of backbones in the proposed sweep.
PROPOSED = 3
# A backbone is clearly worse if its mean difference over the folds is more than this many standard errors ...
CLEARLY = 2.0
# ... and more than this share.
DIFFERENCE = 0.005


def check_sort(by: str) -> str:
    """Check a value of `--sort`, and return it.

    Raises:
        ZooError: the value is unknown.
    """
    if by not in SORTS:
        close = nearest(by, SORTS, 1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ZooError("--sort", f"unknown '{by}'", f"{hint}one of {', '.join(SORTS)}")
    return by


def key(row: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the key of a row: the backbone, and whether it is the control."""
    return str(row["model"]), bool(row.get("control"))


def title(row: Mapping[str, Any]) -> str:
    """Return the displayed name of a row."""
    return f"random weights ({row['model']})" if row.get("control") else str(row["model"])


def ordered(rows: Sequence[Row], by: str) -> list[Row]:
    """Return rows sorted by a key of `SORTS`; rows without a value come after the others, and the control last."""
    column, descending = SORTS[by]

    def rank(row: Row) -> tuple[bool, bool, Any]:
        value = row.get(column)
        missing = value is None or row["status"] != "ok"
        return bool(row.get("control")), missing, value if isinstance(value, str) else -value if value and descending else 0

    if column == "model":
        return sorted(rows, key=lambda row: (bool(row.get("control")), str(row["model"])))
    return sorted(rows, key=rank)


def best(rows: Sequence[Row]) -> list[Row]:
    """Return the best backbone and those that are not clearly worse, in order, at most `PROPOSED`."""
    known = [row for row in ordered(rows, "probe") if row["status"] == "ok" and not row.get("control")]
    return [row for row in known if not clearly_worse(row, known[0])][:PROPOSED]


def clearly_worse(row: Mapping[str, Any], leader: Mapping[str, Any]) -> bool:
    """Return whether the probe accuracy of a backbone is clearly below the leader's, by the differences on the same folds."""
    differences = [one - other for one, other in zip(leader["probe_folds"], row["probe_folds"], strict=True)]
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return mean > DIFFERENCE and mean > CLEARLY * error


def not_above_control(rows: Sequence[Row]) -> list[str]:
    """Return a line for each backbone that is not clearly better than the control; empty without a control."""
    fine = [row for row in rows if row["status"] == "ok"]
    control = next((row for row in fine if row.get("control")), None)
    if control is None:
        return []
    said = "is not clearly above the control with random weights: no sign that its features help with these images"
    return [f"{title(row)} {said}" for row in fine if not row.get("control") and not clearly_worse(control, row)]


def weights_of_another(backbone: Mapping[str, Any], name: str) -> bool:
    """Return whether a recipe's weights fit only its own backbone, and `name` is another backbone.

    Args:
        backbone: the `backbone` section of the recipe, as plain values.
        name: timm name of a backbone.
    """
    return backbone["weights"]["kind"] not in FOR_ALL and catalog.named(backbone["name"]) != catalog.named(name)


def sweep_line(rows: Sequence[Row], words: Sequence[str], backbone: Mapping[str, Any]) -> str:
    """Return the command that fine-tunes the best backbones, or '' if there are none.

    Args:
        rows: all rows.
        words: the recipe, followed by the options that are changed.
        backbone: the `backbone` section of that recipe, as plain values.
    """
    names = [str(row["model"]) for row in best(rows)]
    if not names:
        return ""
    recipe, *overrides = words
    kept = [word for word in overrides if word.partition("=")[0] not in SET_BY_SWEEP]
    if any(weights_of_another(backbone, name) for name in names):
        # Use the weights that were measured, as the recipe's own weights do not fit.
        kept = [*(word for word in kept if not word.startswith(("backbone.weights=", "backbone.weights."))), AUTO]
    return shlex.join(["zoo", "sweep", recipe, *names, "--seeds", "0,1,2", *kept])


# ----------------------------------------------------------------------------------------- table


def points(share: float) -> str:
    """Return a share in percent without its unit."""
    return f"{100 * share:.2f}"


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


COLUMNS_SHOWN = [
    Column("backbone", title, left=True),
    Column("probe %", lambda row: f"{points(row['probe'])} ± {points(row['probe_sd'])}"),
    Column("kNN %", lambda row: points(row["knn"])),
    Column("images/s", lambda row: _speed(row["images_per_second"])),
    Column("ms", lambda row: f"{row['single_ms']:.1f}"),
    Column("minutes", lambda row: f"{row['minutes']:.1f}"),
    Column("M params", lambda row: f"{row['param_count']:.2f}"),
    Column("GMACs", lambda row: f"{row['gmacs']:.2f}"),
    Column("features", lambda row: f"{row['features']:,}"),
    Column("px", lambda row: row["image_size"]),
    Column("license", lambda row: row["license"] or table.MISSING, left=True),
]


def as_table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table, followed by a line for each backbone that could not be measured."""
    fine = [row for row in rows if row["status"] == "ok"]
    failed = [f"{title(row)}: {row['status']}: {row['error']}" for row in rows if row["status"] != "ok"]
    return [*(table.align(fine, COLUMNS_SHOWN, gap="  ") if fine else []), *failed]
