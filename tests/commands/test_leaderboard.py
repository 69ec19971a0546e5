"""`zoo leaderboard`, on run folders that are written without training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import mistake, printed
from helpers.finished_runs import finished_run, right_answers

from zoo.cli import main


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        finished_run(tmp_path / "runs" / f"a-{seed}", right_answers(seed), seed=seed, lr=0.1 * (seed + 1))
        right = right_answers(seed, accuracy=0.5)
        finished_run(tmp_path / "runs" / f"b-{seed}", right, seed=seed, backbone="resnet50.a1_in1k")
    return tmp_path / "runs"


def test_the_runs_of_this_folder_are_ranked(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    table = printed(capsys, "leaderboard")
    assert table.splitlines()[1].startswith("resnet18.tv_in1k")
    assert "note: resnet18.tv_in1k: its 2 runs differ in optim.lr" in table
    assert printed(capsys, "leaderboard", str(runs)) == table
    assert printed(capsys, "leaderboard", "runs/a-0", "runs/a-1", "runs/b-0", "runs/b-1") == table


def test_forms_and_files(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    values = json.loads(printed(capsys, "leaderboard", "--json", "--group", "backbone, optim.lr", "--by", "val.accuracy"))
    assert len(values["rows"]) == 3
    assert (values["by"], values["keys"]) == ("val.accuracy", ["backbone", "optim.lr"])
    assert printed(capsys, "leaderboard", "--md").startswith("| backbone | runs |")
    assert main(["leaderboard", "--csv", "--baseline", "resnet50"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("name,backbone,runs,seeds,test.accuracy,")
    assert captured.err.startswith("note: resnet18.tv_in1k: its 2 runs differ")
    said = printed(capsys, "leaderboard", "--plot", "board.svg", "--html", "board.html")
    assert said.endswith("written: board.svg\nwritten: board.html\n")
    assert (runs.parent / "board.svg").read_text().startswith("<?xml")
    assert (runs.parent / "board.html").read_text().startswith("<!DOCTYPE html>")


def test_bad_input_is_one_line_and_nothing_is_written(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    assert mistake(capsys, "leaderboard", "nowhere") == "error: nowhere: no such folder (give runs, or folders of runs)"
    assert "error: --by: no run has 'accuracy'" in mistake(capsys, "leaderboard", "--by", "accuracy")
    assert "error: --group: no run has the key 'lr'" in mistake(capsys, "leaderboard", "--group", "lr")
    assert "error: --group: no key given" in mistake(capsys, "leaderboard", "--group", ",")
    assert "not a supported picture format" in mistake(capsys, "leaderboard", "--plot", "a.pdf")
    assert "not the name of a page" in mistake(capsys, "leaderboard", "--html", "a.pdf")
    assert "there is no folder none" in mistake(capsys, "leaderboard", "--html", "none/a.html")
    finished_run(runs / "other", right_answers(0, 50))
    assert "has other test images than" in mistake(capsys, "leaderboard", "--html", "a.html", "--plot", "a.svg")
    assert not list(runs.parent.glob("a.*"))


def test_torch_and_matplotlib_are_not_imported(runs: Path) -> None:
    program = (
        "import sys\nfrom zoo.cli import main\n"
        "assert main(['leaderboard', '--json']) == 0 and main(['compare', 'runs/a-0', 'runs/b-0', '--json']) == 0\n"
        "print({'torch', 'timm', 'matplotlib', 'scipy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=runs.parent, capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"
