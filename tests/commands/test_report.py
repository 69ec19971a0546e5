from __future__ import annotations

import re
import webbrowser
from pathlib import Path

import pytest
from helpers.command_line import mistake, printed
from helpers.finished_runs import finished_run, right_answers
from helpers.reports import run_folder


def test_a_page_is_written_into_the_run_or_where_one_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_folder(tmp_path / "run")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    lines = printed(capsys, "report", str(run)).splitlines()
    assert lines[0].startswith(f"report     {run / 'report.html'} (")
    assert lines[1].strip() == "97.5 % of 359 test images right."
    assert opened == []
    page = (run / "report.html").read_bytes()
    printed(capsys, "report", str(run), "--out", str(tmp_path / "a b.html"), "--worst", "3", "--open")
    assert opened == [(tmp_path / "a b.html").as_uri()]
    assert (run / "report.html").read_bytes() == page


def test_the_page_of_a_sweep_is_its_leaderboard_with_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = tmp_path / "my sweep"
    for seed in (0, 1):
        for lr in (0.1, 0.2):
            finished_run(sweep / f"r#{lr}-{seed}", right_answers(seed, accuracy=1 - lr), seed=seed, lr=lr)
    (sweep / "r#0.1-0" / "report.html").write_text("page")
    (sweep / "sweep.json").write_text('{"settings": {"set": {"optim.lr": [0.1, 0.2]}}}')
    assert "has the best test.accuracy of 2 rows" in printed(capsys, "report", str(sweep))
    page = (sweep / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<a href="([^"]*)"', page) == ["r%230.1-0/report.html"]
    printed(capsys, "report", str(sweep), "--out", str(tmp_path / "page.html"))
    assert re.findall(r'<a href="([^"]*)"', (tmp_path / "page.html").read_text()) == ["my%20sweep/r%230.1-0/report.html"]


def test_wrong_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path / "run")
    assert "no such folder" in mistake(capsys, "report", str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert "no run in it" in mistake(capsys, "report", str(tmp_path / "empty"))
    assert "--worst: expected a whole number, found 'many'" in mistake(capsys, "report", str(run), "--worst", "many")
    assert "is a folder" in mistake(capsys, "report", str(run), "--out", str(tmp_path))
    assert "there is no folder" in mistake(capsys, "report", str(run), "--out", str(tmp_path / "none" / "a.html"))
    (tmp_path / "empty" / "sweep.json").write_text("{}")
    assert "does not say what was varied" in mistake(capsys, "report", str(tmp_path / "empty"))
    (tmp_path / "empty" / "sweep.json").write_text('{"settings": {"set": {}}}')
    assert "holds no run" in mistake(capsys, "report", str(tmp_path / "empty"))
    assert sorted(path.name for path in run.iterdir()) == ["environment.json", "metrics.jsonl", "recipe.yaml", "result.json"]


def test_a_sweep_has_no_mistakes_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(tmp_path / "run", right_answers(0))
    (tmp_path / "sweep.json").write_text('{"settings": {"set": {}}}')
    said = mistake(capsys, "report", str(tmp_path), "--worst", "3")
    assert said == f"error: --worst: the page of a sweep shows no images (give one of its runs, {tmp_path}/RUN)"
    assert not (tmp_path / "report.html").exists()
