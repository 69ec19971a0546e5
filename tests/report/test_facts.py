from __future__ import annotations

from pathlib import Path

import pytest
from helpers.reports import run_folder

from zoo.errors import ZooError
from zoo.report.facts import read_facts
from zoo.results.folder import RunFolder

HEADER = "split,file,label,predicted,prob,correct,label_prob\n"


def test_a_finished_run_is_read_whole(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    (run / "predictions.csv").write_text(HEADER + "val,a,cat,dog,0.9,0,0.1\ntest,b,dog,dog,0.8,1,0.8\n")
    facts = read_facts(run)
    assert facts.problems == []
    assert facts.result is not None
    assert facts.recipe is not None
    assert facts.classes == ("cat", "dog")
    assert [row["epoch"] for row in facts.history] == [1, 2]
    assert facts.judged is facts.scored["test"]
    assert not facts.going


def test_predictions_of_an_earlier_end_are_not_those_of_a_run_that_goes_on(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", done=False)
    (run / "predictions.csv").write_text(HEADER + "test,b,dog,dog,0.8,1,0.8\n")
    assert read_facts(run).judged is None


def test_a_run_that_goes_on_is_told_from_one_that_died(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", done=False)
    (run / ".lock").write_text("pid 1 on elsewhere")
    assert not read_facts(run).going
    with RunFolder(run).held():
        assert read_facts(run).going


def test_each_damaged_file_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    (run / "recipe.yaml").write_text("nonsense: true\n")
    (run / "environment.json").write_text("{")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "st')
    (run / "predictions.csv").write_text("nonsense\n")
    facts = read_facts(run)
    assert facts.result is not None
    assert len(facts.history) == 2
    assert len(facts.problems) == 4
    for name, problem in zip(
        ("recipe", "environment.json", "predictions.csv", "1 of 3 lines"),
        sorted(facts.problems, key=lambda text: ["The", "env", "pre", "1 o"].index(text[:3])),
        strict=True,
    ):
        assert name in problem


def test_classes_are_those_of_the_model_where_the_result_is_damaged(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    (run / "result.json").write_text("{}")
    (run / "model").mkdir()
    (run / "model/config.json").write_text('{"label_names": ["cat", "dog"]}')
    (run / "predictions.csv").write_text(HEADER + "test,b,dog,dog,0.8,1,0.8\n")
    facts = read_facts(run)
    assert facts.result is None
    assert facts.judged is not None
    assert facts.classes == ("cat", "dog")
    assert "result.json is damaged" in facts.problems[0]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no run in it"):
        read_facts(tmp_path)
