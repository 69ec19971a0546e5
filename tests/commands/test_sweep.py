from __future__ import annotations

from pathlib import Path

import pytest

from zoo.cli import main, parse
from zoo.commands import sweep


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ([], "zoo sweep: which recipe? (give a recipe, "),
        (["quickstart"], "MODEL: which models? (give names after the recipe, "),
        (["quickstart", "train.epochs=1"], "MODEL: which models?"),
        (["nowhere.yaml", "resnet18"], "nowhere.yaml: no such recipe"),
        (["quickstart", "resmet*"], "MODEL resmet*: matches no model (closest: resnet"),
        (["quickstart", "resnt18"], "MODEL: unknown model 'resnt18' (closest: resnet18, "),
        (["quickstart", "resnet18", "--seeds", ""], "--seeds: expected whole numbers of at least 0, found ''"),
        (["quickstart", "resnet18", "--seeds", "0,-1"], "--seeds: expected whole numbers of at least 0, found '-1'"),
        (["quickstart", "resnet18", "--seeds", f"{2**63}"], "--seeds: expected whole numbers of at least 0, found '9223"),
        (["quickstart", "resnet18", "--seeds", "1,0,1"], "--seeds: 1 is given twice (give each once)"),
        (["quickstart", "resnet18", "--set", "optim.lr"], "--set: 'optim.lr': expected key=value,value"),
        (["quickstart", "resnet18", "--set", "optim.lr="], "--set: 'optim.lr=': expected key=value,value"),
        (["quickstart", "resnet18", "--set", "optim.lr=1e-3,0.001"], "--set optim.lr: 0.001 is given twice"),
        (["quickstart", "resnet18", "--set", "a.b=1", "--set", "a.b=2"], "--set a.b: is given twice"),
        (["quickstart", "resnet18", "--set", "optim.lr={"], "--set optim.lr: not valid YAML"),
        (["quickstart", "resnet18", "--set", "optim.lrr=1e-3"], "optim.lrr: unknown key"),
        (["quickstart", "resnet18", "optim.lrr=1e-3"], "optim.lrr: unknown key"),
        (["quickstart", "resnet18", "--jobs", "0"], "--jobs: expected a whole number above 0, found '0'"),
        (["quickstart", "resnet18", "--timeout", "soon"], "--timeout: expected seconds above 0, found 'soon'"),
        (["quickstart", "resnet18", "--budget", "30"], "--budget: expected a time above 0, found '30' (e.g. --budget 30m, 2h or 90s)"),
        (["quickstart", "resnet18", "--budget", "0m"], "--budget: expected a time above 0, found '0m'"),
        (["quickstart", "resnet18", "--plan", "--budget", "1s"], "--budget: does not go with --plan, "),
        (["quickstart", "resnet18", "--plan", "--timeout", "9"], "--timeout: does not go with --plan, "),
        (["quickstart", "resnet18", "--plan", "--on", "ray"], "--on ray: does not go with --plan, "),
        (["quickstart", "resnet18", "--on", "slurm"], "--on: unknown 'slurm' (use local or ray)"),
        (["quickstart", "resnet18", "--out", "/dev/null"], "--out: not a directory: /dev/null"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.system.signals.install", lambda: None)
    assert main(["sweep", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {where}")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_words_are_models_or_options_wherever_they_stand() -> None:
    options = parse(
        ["sweep", "quickstart", "test_res*", "--seeds", "0,1", "resnet18", "--set", "optim.lr=1e-3,no", "train.epochs=1"]
    )
    grid = sweep.grid_of(options, None)
    assert grid.backbones == ["test_resnet", "resnet18"]
    assert (grid.seeds, grid.overrides, grid.values) == ([0, 1], ["train.epochs=1"], {"optim.lr": [0.001, "no"]})


def test_runs_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.system.hardware.cores", lambda: 8)
    options = parse(["sweep", "quickstart", "resnet18"])
    assert [sweep.grid_of(options, jobs).threads for jobs in (None, 1, 2, 3, 99)] == [None, None, 4, 2, 1]


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("2h", 7200), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800)])
def test_times_have_units(text: str, seconds: float) -> None:
    assert sweep.duration("--budget", text) == seconds


def test_values_are_yaml() -> None:
    assert sweep.values_of(["a.b=1, null, true, word, {kind: none}"]) == {"a.b": [1, None, True, "word", {"kind": "none"}]}


def test_a_launcher_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert main(["sweep", "quickstart", "resnet18"]) == 2
    assert "launch: zoo sweep starts its processes itself" in capsys.readouterr().err
