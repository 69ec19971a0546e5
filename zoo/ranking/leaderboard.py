"""The leaderboard: a ranked row for each group of finished runs, with a verdict on its difference from the reference row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.errors import ZooError, nearest
from zoo.metrics import merit
from zoo.ranking.groups import BACKBONE, Group, group_runs, without_copies
from zoo.ranking.rows import MCNEMAR, T_TEST, Costs, Paired, Score, check_key, costs, paired, score, value_of
from zoo.ranking.runs import Run, check_same_test, find_runs
from zoo.results.pareto import pareto_front
from zoo.stats.holm import holm
from zoo.system.console import plural
from zoo.system.progress import show_current

# Significance level: two rows differ if the adjusted p-value is below this.
ALPHA = 0.05
# Default metrics to rank by; the first one that any run has is used.
DEFAULT_BY = ("test.accuracy", "val.accuracy")
# The verdicts on a row.
BEST, BASELINE, ALIKE, BETTER, WORSE = "best", "baseline", "not told apart", "better", "worse"
# The Pareto fronts: score against minutes of training, and score against inference speed, or against the number of parameters
# if the speed of a run is unknown.
MINUTES, SPEED, PARAMS = "minutes", "speed", "params"
# Description of each method of `rows.paired`.
TESTS = {MCNEMAR: "McNemar's exact test", T_TEST: "a t test over runs and images"}
BOTH_TESTS = "McNemar's exact test between single runs, else a t test over runs and images"


@dataclass(frozen=True)
class Row:
    """One group of runs.

    Attributes:
        name: name of the group.
        group: value of each key that the runs have in common.
        seeds: seeds of its runs, in the order of the runs.
        folders: folders of its runs.
        score: its values of the metric that ranks the rows.
        paired: difference in test accuracy from the reference row (the best row or the baseline); None for the reference
            itself, or if a run has no test images.
        p_adjusted: p-value after Holm's correction: over all rows, or over all pairs of rows if the reference is the best row on
            the test images; None without `paired`.
        verdict: best, baseline, not told apart, better or worse; '' if there are no test images to compare on.
        costs: mean costs of the runs.
        other_machine: machines of its runs, if they differ from the machine of most rows, so that times are not comparable.
        pareto: the Pareto fronts it is on: minutes, and speed or params.
    """

    name: str
    group: dict[str, str]
    seeds: tuple[int, ...]
    folders: tuple[Path, ...]
    score: Score
    paired: Paired | None
    p_adjusted: float | None
    verdict: str
    costs: Costs
    other_machine: str = ""
    pareto: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leaderboard:
    """Rows in order, the best first.

    Attributes:
        by: the metric that ranks the rows, such as `test.accuracy`.
        keys: keys that the runs of a row have in common.
        reference: name of the row that the others are compared with.
        images: number of test images; 0 if there are none.
        machine: the machine that most rows were trained on.
        selected: how the runs selected their epochs, and when they evaluated the test set.
        rows: the rows.
        notes: remarks for the reader, one line each, such as runs that were left out.
    """

    by: str
    keys: tuple[str, ...]
    reference: str
    images: int
    machine: str
    selected: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def alike(self) -> list[str]:
        """Return the name of the reference, followed by the rows that do not differ significantly from it."""
        return [self.reference, *(row.name for row in self.rows if row.verdict == ALIKE)]


def build(
    paths: Sequence[Path], by: str | None = None, group: Sequence[str] = (BACKBONE,), baseline: str | None = None
) -> Leaderboard:
    """Rank the finished runs of some folders.

    Args:
        paths: run folders, or folders that contain runs.
        by: `test.METRIC` or `val.METRIC`; None for the test accuracy, or the val accuracy if no run has a test set.
        group: keys in which repetitions agree: `backbone`, or dotted keys of a recipe.
        baseline: name of the row to compare with, or a unique part of it; None for the best row.

    Raises:
        ZooError: no finished run, different test images, or an unknown key, metric or baseline.
    """
    found = find_runs(paths)
    by = by or next((key for key in DEFAULT_BY if any(value_of(run, key) is not None for run in found.runs)), DEFAULT_BY[0])
    check_key(found.runs, by)
    ranked = [run for run in found.runs if value_of(run, by) is not None]
    lacking = [f"left out: {run.path}: has no {by}" for run in found.runs if value_of(run, by) is None]
    ranked, copies = without_copies(check_same_test(ranked))
    groups = sorted(group_runs(ranked, group), key=lambda one: -merit(by, score(one, by).mean))
    reference = _reference(groups, baseline)
    rows, machine_notes, machine = _on_one_machine(_rows(groups, reference, by, named=baseline is not None))
    notes = [*found.notes, *lacking, *copies, *(note for one in groups for note in one.notes), *machine_notes]
    images = max((len(run.answers) for run in ranked if run.answers), default=0)
    rows = _with_fronts(rows, by)
    return Leaderboard(by, tuple(group), reference.name, images, machine, _selected(ranked), rows, tuple(notes))


def _reference(groups: Sequence[Group], baseline: str | None) -> Group:
    if baseline is None:
        return groups[0]
    named = [one for one in groups if one.name == baseline] or [one for one in groups if baseline in one.name]
    if len(named) != 1:
        names = [one.name for one in named or groups]
        what = f"'{baseline}' matches {len(named)} rows" if named else f"no row is named '{baseline}'"
        raise ZooError("--baseline", what, f"one of {', '.join(nearest(baseline, names, 5) or names[:5])}")
    return named[0]


def _rows(groups: Sequence[Group], reference: Group, by: str, *, named: bool) -> list[Row]:
    """Return the rows with their verdicts; `named` says whether the user chose the reference."""
    pairs: dict[str, Paired | None] = {}
    for number, one in enumerate(groups, start=1):
        show_current(f"comparing rows: {number:,}/{len(groups):,}")
        pairs[one.name] = None if one is reference else paired(one, reference)
    show_current("")
    tested = [name for name, pair in pairs.items() if pair]
    # A reference that was chosen because it is best on the test images could have been any row: all pairs count.
    chosen = not named and by.startswith("test.")
    comparisons = len(groups) * (len(groups) - 1) // 2 if chosen else None
    adjusted = dict(zip(tested, holm([pair.p for pair in pairs.values() if pair], comparisons), strict=True))
    rows = []
    for one in groups:
        pair, p = pairs[one.name], adjusted.get(one.name)
        own = (BASELINE if named else BEST) if one is reference else ""
        verdict = own or (_verdict(pair, p) if pair and p is not None else "")
        seeds = tuple(run.result.seed for run in one.runs)
        paths = tuple(run.path for run in one.runs)
        rows.append(Row(one.name, one.values, seeds, paths, score(one, by), pair, p, verdict, costs(one)))
    return rows


def _verdict(pair: Paired, p: float) -> str:
    if p >= ALPHA:
        return ALIKE
    return BETTER if pair.difference > 0 else WORSE


def _on_one_machine(rows: Sequence[Row]) -> tuple[list[Row], list[str], str]:
    """Mark rows that were not trained on the most common machine; return the rows, a note per other machine, and that machine."""
    machine = Counter(one for row in rows for one in row.costs.machines).most_common(1)[0][0]
    there = {row.name: " and ".join(row.costs.machines) for row in rows}
    marked = [row if there[row.name] == machine else replace(row, other_machine=there[row.name]) for row in rows]
    others: dict[str, list[str]] = {}
    for row in marked:
        if row.other_machine:
            others.setdefault(row.other_machine, []).append(row.name)
    notes = [
        f"trained on another machine ({other}; most rows: {machine}), so minutes, speeds and memory are not comparable: "
        + ", ".join(names)
        for other, names in others.items()
    ]
    return marked, notes, machine


def _with_fronts(rows: Sequence[Row], by: str) -> tuple[Row, ...]:
    """Mark the rows on each Pareto front, which no other row beats in both score and cost."""
    fronts: dict[str, list[str]] = {row.name: [] for row in rows}
    for name, some in fronts_of(rows):
        for place in pareto_front([(cost(row, name), merit(by, row.score.mean)) for row in some]):
            fronts[some[place].name].append(name)
    return tuple(replace(row, pareto=tuple(fronts[row.name])) for row in rows)


def fronts_of(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return the two Pareto fronts, each with the rows that compete for it; rows without a finite score do not.

    Rows of another machine do not compete in time. If the speed of a row is unknown, parameters replace the speed.
    """
    scored = [row for row in rows if math.isfinite(row.score.mean)]
    own = [row for row in scored if not row.other_machine]
    timed = all(row.costs.eval_images_per_second is not None for row in own)
    return [(MINUTES, own), (SPEED, own) if timed else (PARAMS, scored)]


def cost(row: Row, front: str) -> float:
    """Return the cost of a row on a front: minutes of training, milliseconds per image, or parameters."""
    if front == SPEED:
        return 1000 / (row.costs.eval_images_per_second or 1)
    return row.costs.train_minutes if front == MINUTES else row.costs.params


def _selected(runs: Sequence[Run]) -> str:
    """Return the sentence that says how epochs were selected and when the test set was evaluated."""
    keys = ", ".join(dict.fromkeys(run.result.selected_by for run in runs))
    epochs = "each run shows its last epoch" if keys == "last" else f"each run's epoch was selected by {keys}"
    if not any(run.answers for run in runs):
        return f"{epochs}; there is no test set"
    often = [str(run.path) for run in runs if "each epoch" in run.result.test_scored]
    return f"{epochs}; the test set was {f'scored in each epoch by {_some(often)}' if often else 'scored once, after that'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def notes_and_facts(board: Leaderboard) -> Iterator[str]:
    """Yield the sentences below the table: what was compared and how, which rows do not differ significantly, and the notes."""
    runs = plural(sum(len(row.seeds) for row in board.rows), "run")
    yield f"{runs}, ordered by {board.by}; {board.selected}"
    methods = {row.paired.method for row in board.rows if row.paired}
    if methods:
        tests = TESTS[methods.pop()] if len(methods) == 1 else BOTH_TESTS
        images = plural(board.images, "image")
        yield f"differences in test accuracy are paired, on the same {images}: {tests}; p after Holm's correction"
    if len(board.alike) > 1:
        yield f"not told apart from {board.reference}: {', '.join(board.alike[1:])}"
    yield from (f"note: {note}" for note in board.notes)
