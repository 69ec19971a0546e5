from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from helpers.finished_runs import finished_run, right_answers

from zoo.errors import ZooError
from zoo.ranking.leaderboard import build, notes_and_facts
from zoo.stats.holm import holm


def test_rows_are_ordered_and_told_apart(folder: Path) -> None:
    board = build([folder])
    assert [(row.name.partition(".")[0], row.verdict) for row in board.rows] == [
        ("good", "best"), ("alike", "not told apart"), ("worse", "worse"), ("worst|<script>", "worse"),
    ]  # fmt: skip
    assert (board.by, board.reference, board.images) == ("test.accuracy", "good.tv_in1k", 200)
    assert board.alike == ["good.tv_in1k", "alike.a1_in1k"]
    assert [row.seeds for row in board.rows] == [(0, 1, 2)] * 4
    assert not board.notes


def test_p_values_are_holms_over_all_rows(folder: Path) -> None:
    rows = build([folder], by="val.accuracy").rows
    pairs = [row.paired for row in rows[1:]]
    assert [row.p_adjusted for row in rows[1:]] == holm([pair.p for pair in pairs if pair])
    assert (rows[0].paired, rows[0].p_adjusted) == (None, None)


def test_p_values_count_all_pairs_where_the_reference_is_the_best_on_the_test_images(folder: Path) -> None:
    for baseline, comparisons in ((None, 6), ("alike", None)):
        rows = build([folder], baseline=baseline).rows
        tested = [row for row in rows if row.paired]
        assert [row.p_adjusted for row in tested] == holm([row.paired.p for row in tested if row.paired], comparisons)


def test_a_copy_of_a_run_is_no_repetition(tmp_path: Path) -> None:
    for seed in (0, 1):
        finished_run(tmp_path / f"a{seed}", right_answers(seed), seed=seed)
    shutil.copytree(tmp_path / "a0", tmp_path / "copy")
    # A run with the same seed but other predictions, for example from another machine, is not a copy.
    finished_run(tmp_path / "other", right_answers(5), seed=0)
    board = build([tmp_path])
    assert board.rows[0].seeds == (0, 1, 0)
    assert [note for note in board.notes if "copy" in note] == [
        f"left out: {tmp_path / 'copy'}: a copy of {tmp_path / 'a0'}: the same seed and the same predictions"
    ]


def test_a_baseline_takes_the_place_of_the_best(folder: Path) -> None:
    board = build([folder], baseline="worse")
    assert [row.verdict for row in board.rows] == ["better", "better", "baseline", "worse"]
    differences = [row.paired.difference for row in board.rows if row.paired]
    assert differences[0] > differences[1] > 0 > differences[2]
    with pytest.raises(ZooError, match=r"--baseline: no row is named 'wrong'"):
        build([folder], baseline="wrong")
    with pytest.raises(ZooError, match=r"--baseline: 'wor' matches 2 rows \(one of worse"):
        build([folder], baseline="wor")


def test_any_metric_orders_the_rows_the_better_one_first(folder: Path) -> None:
    names = [row.name for row in build([folder]).rows]
    assert [row.name for row in build([folder], by="test.loss").rows] == names
    assert [row.name for row in build([folder], by="test.macro_f1").rows] == names
    assert {row.score.mean for row in build([folder], by="val.accuracy").rows} == {0.5}


def test_the_fronts_hold_what_nothing_beats(folder: Path) -> None:
    """`worst` trains longest and is slowest; the others trade cost for accuracy."""
    assert [row.pareto for row in build([folder]).rows] == [("minutes", "speed")] * 3 + [()]


def test_runs_that_do_not_tell_their_speed_are_ranked_by_parameters(tmp_path: Path) -> None:
    finished_run(tmp_path / "a", right_answers(0), speed=None)
    (row,) = build([tmp_path]).rows
    assert row.pareto == ("minutes", "params")


def test_rows_of_another_machine_are_marked_and_on_no_front_of_time(folder: Path) -> None:
    finished_run(folder / "fast", right_answers(5, 200, 0.95), backbone="fast", cpu="Another CPU", minutes=0.1)
    board = build([folder])
    row = next(row for row in board.rows if row.name == "fast")
    assert row.other_machine == "Another CPU, 2 cores"
    assert row.pareto == ()
    assert board.machine == "AMD EPYC, 2 cores"
    assert [note for note in board.notes if "another machine (Another CPU, 2 cores; most rows: AMD EPYC, 2 cores)" in note]


def test_a_row_of_several_machines_is_marked(folder: Path) -> None:
    finished_run(folder / "moved", right_answers(5), backbone="worse.in1k", cpu="Another CPU", seed=4)
    row = next(row for row in build([folder]).rows if row.name == "worse.in1k")
    assert row.other_machine == "AMD EPYC, 2 cores and Another CPU, 2 cores"


def test_different_test_sets_are_refused(folder: Path) -> None:
    other = finished_run(folder / "other", right_answers(0, 100), backbone="other")
    with pytest.raises(ZooError, match=f"^{other}: has other test images than {folder}/.*: 200 and 100 images"):
        build([folder])


def test_an_unfinished_run_is_a_note(folder: Path) -> None:
    (folder / "worse-0" / "result.json").unlink()
    board = build([folder])
    assert [len(row.seeds) for row in board.rows] == [3, 3, 2, 3]
    assert board.notes == (f"left out: {folder}/worse-0: the run is not finished",)


def without_test(run: Path) -> None:
    values = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(values | {"test": None}))


def test_runs_without_a_test_set_are_ranked_by_validation(folder: Path) -> None:
    without_test(folder / "good.-0")
    board = build([folder])
    assert board.notes == (f"left out: {folder}/good.-0: has no test.accuracy",)
    assert [row.verdict for row in build([folder], by="val.accuracy").rows].count("") > 0
    for run in folder.iterdir():
        without_test(run)
    board = build([folder])
    assert (board.by, board.images) == ("val.accuracy", 0)
    assert {row.verdict for row in board.rows} == {"best", ""}
    assert "there is no test set" in board.selected


def test_a_value_that_is_no_number_comes_last(folder: Path) -> None:
    run = finished_run(folder / "nan", right_answers(0), backbone="nan", minutes=0.01)
    values = json.loads((run / "result.json").read_text())
    values["test"]["loss"] = math.nan
    (run / "result.json").write_text(json.dumps(values))
    last = build([folder], by="test.loss").rows[-1]
    assert (last.name, last.pareto) == ("nan", ())


def test_what_was_compared_and_how_is_said(folder: Path) -> None:
    facts = list(notes_and_facts(build([folder])))
    assert facts[0] == (
        "12 runs, ordered by test.accuracy; each run's epoch was selected by val.accuracy; "
        "the test set was scored once, after that"
    )
    assert "on the same 200 images: a t test over runs and images; p after Holm's correction" in facts[1]
    assert facts[2] == "not told apart from good.tv_in1k: alike.a1_in1k"
    for run in folder.iterdir():
        if not run.name.endswith("-0"):
            shutil.rmtree(run)
    assert "McNemar's exact test;" in list(notes_and_facts(build([folder])))[1]
