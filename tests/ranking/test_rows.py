from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.finished_runs import finished_run, right_answers
from scipy import stats

from zoo.errors import ZooError
from zoo.ranking.groups import Group, group_runs
from zoo.ranking.rows import check_key, costs, paired, score, value_of
from zoo.ranking.runs import find_runs


def group_of(root: Path, accuracy: float, seeds: int, **options: object) -> Group:
    for seed in range(seeds):
        finished_run(root / str(seed), right_answers(seed, 200, accuracy), seed=seed, **options)  # type: ignore[arg-type]
    (group,) = group_runs(find_runs([root]).runs, ["backbone"])
    return group


def test_a_score_of_several_runs_has_students_interval(tmp_path: Path) -> None:
    group = group_of(tmp_path / "a", 0.8, 3)
    values = [right_answers(seed, 200).mean() for seed in range(3)]
    found = score(group, "test.accuracy")
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert found.interval == pytest.approx(expected, abs=1e-9)


def test_a_score_of_one_run_has_wilsons_interval(tmp_path: Path) -> None:
    group = group_of(tmp_path / "a", 0.8, 1, val=0.7)
    hits = int(right_answers(0, 200).sum())
    for key, count, total in (("test.accuracy", hits, 200), ("val.accuracy", 35, 50)):
        expected = stats.binomtest(count, total).proportion_ci(method="wilson")
        assert score(group, key).interval == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert score(group, "test.macro_f1").interval is None


def test_single_runs_are_compared_by_mcnemars_test(tmp_path: Path) -> None:
    groups = [group_of(tmp_path / name, accuracy, 1) for name, accuracy in (("a", 0.8), ("b", 0.75))]
    found = paired(groups[1], groups[0])
    first, second = right_answers(0, 200, 0.8), right_answers(0, 200, 0.75)
    assert found is not None
    assert found.difference == pytest.approx(second.mean() - first.mean())
    assert found.p == pytest.approx(stats.binomtest(int((second & ~first).sum()), int((second ^ first).sum())).pvalue, abs=1e-9)
    assert found.method == "McNemar"


def test_several_runs_are_compared_over_runs_and_images(tmp_path: Path) -> None:
    groups = [group_of(tmp_path / name, accuracy, runs) for name, accuracy, runs in (("a", 0.9, 3), ("b", 0.6, 1))]
    found = paired(groups[1], groups[0])
    assert found is not None
    assert found.method == "t test"
    assert found.interval[0] < found.difference < found.interval[1] < 0
    assert found.p < 0.01


def test_costs_are_means_and_the_license_that_of_the_weights(tmp_path: Path) -> None:
    finished_run(tmp_path / "a" / "0", right_answers(0), minutes=1, speed=300)
    finished_run(tmp_path / "a" / "1", right_answers(1), minutes=3, speed=500, seed=1)
    (group,) = group_runs(find_runs([tmp_path / "a"]).runs, ["backbone"])
    found = costs(group)
    assert (found.train_minutes, found.eval_images_per_second, found.license) == (2, 400, "bsd-3-clause")
    assert costs(group_of(tmp_path / "b", 0.8, 1, weights="random")).license == ""
    assert costs(group_of(tmp_path / "c", 0.8, 1, speed=None)).eval_images_per_second is None


def test_an_unknown_metric_is_refused(tmp_path: Path) -> None:
    group = group_of(tmp_path / "a", 0.8, 1)
    assert value_of(group.runs[0], "val.loss") == 1.0
    assert value_of(group.runs[0], "train.loss") is None
    with pytest.raises(ZooError, match=r"--by: no run has 'test.acuracy' \(did you mean 'test.accuracy'\? one of test.accuracy"):
        check_key(group.runs, "test.acuracy")
    for key in ("test.n", "test.per_class", "accuracy", ""):
        with pytest.raises(ZooError, match="--by"):
            check_key(group.runs, key)
