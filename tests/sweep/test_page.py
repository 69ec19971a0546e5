from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers.finished_runs import finished_run, right_answers

from zoo.errors import StorageError, ZooError
from zoo.sweep import page
from zoo.sweep.page import write_page


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Write a sweep of four runs: one finished, one failed, one stopped, and one not started."""
    folder = tmp_path / "sweep"
    finished_run(folder / "fine", right_answers(0))
    rows = [
        {"name": "fine", "status": "ok", "error": ""},
        {"name": "large", "status": "oom", "error": "out of <memory>"},
        {"name": "slow", "status": "stopped", "error": ""},
    ]
    (folder / "results.json").write_text(json.dumps(rows))
    (folder / "sweep.json").write_text(json.dumps({"settings": {"set": {}}, "runs": ["fine", "large", "slow", "later"]}))
    return folder


def test_runs_that_are_not_finished_are_on_the_page(sweep: Path) -> None:
    board, path = write_page(sweep)
    assert [row.folders for row in board.rows] == [(sweep / "fine",)]
    assert path == sweep / "report.html"
    lines = re.findall("<li><bdi>(.*)</bdi></li>", path.read_text(encoding="utf-8"))
    assert lines[-3:] == ["large: oom: out of &lt;memory&gt;", "slow: stopped", "later: not ended yet"]


def test_a_page_that_cannot_be_written_says_what_to_do(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write_file", full)
    with pytest.raises(StorageError, match=r"No space left.*\(free some space, or name another file with --out\)$"):
        write_page(sweep)


def test_a_damaged_sweep_is_refused(sweep: Path) -> None:
    for text in ("{}", "[]", '{"settings": {"set": null}}'):
        (sweep / "sweep.json").write_text(text)
        with pytest.raises(ZooError, match="does not say what was varied"):
            write_page(sweep)
