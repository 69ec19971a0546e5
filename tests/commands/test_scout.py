"""`zoo scout`: its flags, its output, and a complete run with real backbones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.cli import main
from zoo.scout import scouting

Draw = Callable[..., Path]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = scouting.run_scout

    def run(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, **options, target="helpers.scouted")

    monkeypatch.setattr(scouting, "run_scout", run)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["quickstart"],
            "error: MODEL: which backbones? (give names, a pattern such as 'resnet*', or a filter such as --cached)",
        ),
        (
            ["digits", "resnet18", "--folds", "2"],
            "error: --folds: expected a whole number of at least 3, found '2' (e.g. --folds 6)",
        ),
        (
            ["digits", "resnet18", "--image-size", "big"],
            "error: --image-size: expected a whole number of at least 8, found 'big' (e.g. --image-size 16 or native)",
        ),
        (["digits", "resnet18", "--max-images", "-1"], "error: --max-images: expected a whole number"),
        (["digits", "resnet18", "--sort", "speeed"], "error: --sort: unknown 'speeed' (did you mean 'speed'? one of probe"),
        (["digits", "resnet18", "--plot", "a.pdf"], "error: --plot: a.pdf: not a supported picture format"),
        (["digits", "resnet18", "--timeout", "soon"], "error: --timeout: expected seconds above 0, found 'soon'"),
        (
            ["digits", "resnet18", "--max-params", "12"],
            "error: --max-params: no backbone has at most 12 parameters (did you mean 12M?)",
        ),
        (["nowhere", "resnet18"], "error: DATA: no folder, recipe or data set: nowhere"),
        (["digits", "resnet1_8"], "error: MODEL: no backbone matches 'resnet1_8' (closest: "),
        (["digits", "resnet18", "train.epocs=3"], "error: train.epocs: "),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scout", *arguments]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("stand_in")
def test_rows_are_shown_in_the_form_that_was_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = ["digits", "--max-images", "60", "resnet18.tv_in1k", "resnet50.tv_in1k", "image_size=32"]
    assert main(["scout", *asked, "--plot", "a.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[-1]
        .split(maxsplit=1)[1]
        .startswith("zoo sweep quickstart resnet18.tv_in1k resnet50.tv_in1k --seeds 0,1,2 image_size=32")
    )
    assert "random weights (resnet18.tv_in1k)" in lines[-4]
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert main(["scout", *asked, "--json", "--sort", "name"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in found] == ["resnet18.tv_in1k", "resnet50.tv_in1k", "resnet18.tv_in1k"]
    assert [row["control"] for row in found] == [False, False, True]
    assert main(["scout", "digits", "resnet26", "resnet18.tv_in1k", "--max-images", "60", "--csv"]) == 1
    heading, *table = capsys.readouterr().out.splitlines()
    assert heading.startswith("model,control,status,error,probe,")
    assert [line.partition(",")[0] for line in table] == ["resnet18.tv_in1k", "resnet26.bt_in1k", "resnet18.tv_in1k"]


@pytest.mark.usefixtures("stand_in")
def test_a_backbone_that_is_as_good_as_chance_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scout", "digits", "resnet18.tv_in1k", "resnet14t.c3_in1k", "--max-images", "60", "image_size=32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "control" in line] == [
        "note       resnet14t.c3_in1k is not clearly above the control with random weights: "
        "no sign that its features help with these images"
    ]


@pytest.mark.usefixtures("stand_in")
def test_rows_are_shown_where_there_is_nothing_to_draw(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["scout", "digits", "resnet26", "--max-images", "60", "image_size=32", "--plot", "a.png"]) == 1
    printed = capsys.readouterr()
    assert "resnet26.bt_in1k: oom: out of memory\n" in printed.out
    assert "results    runs/scout (results.csv, results.json)\n" in printed.out
    assert printed.err.endswith("warning: a.png was not drawn: no backbone could be measured\n")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.slow
def test_real_backbones_are_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    fast = ["image_size=32", "train.threads=1", "train.precision=fp32", "train.channels_last=false", "train.accumulate=1"]
    words = ["digits", "tf_efficientnet_lite0", "tf_efficientnet_lite1", "nothing9", "--max-images", "400", "--folds", "3"]
    assert main(["scout", *words, *fast, "--out", "out"]) == 1
    first, second, failed, control = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["status"] for row in (first, second, failed, control)] == ["ok", "ok", "unknown", "ok"]
    assert min(first["probe"], second["probe"]) > control["probe"] + 0.1
    assert first["minutes"] > 0
    capsys.readouterr()
    assert main(["scout", *words, *fast, "--out", "out"]) == 1
    assert "3 of 4 rows were measured before" in capsys.readouterr().out
