from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from helpers.command_line import mistake

from zoo.cli import main, parse
from zoo.commands.lr import train_command
from zoo.recipe.load import load_recipe


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere.yaml"], "nowhere.yaml: no such recipe"),
        (["RECIPE", "optim.lrr=1"], "optim.lrr: unknown key"),
        (["RECIPE", "--steps", "5"], "--steps: expected a whole number of at least 20, found '5' (e.g. --steps 100)"),
        (["RECIPE", "--plot", "lr.txt"], "--plot: lr.txt: not the name of a picture (give a name that ends in .svg)"),
        (["RECIPE", "--plot", "none/lr.svg"], "--plot: none/lr.svg: there is no folder none"),
        (["RECIPE", "data={kind: folder, root: nowhere}"], "data.root: no such folder: "),
    ],
)
def test_a_mistake_is_one_line(tiny: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    found = mistake(capsys, "lr", *[str(tiny) if word == "RECIPE" else word for word in words])
    assert line in found.replace(f"{tiny}: ", "")


def test_the_command_trains_the_same_with_another_rate() -> None:
    line = train_command(Path("quickstart"), ["optim.lr=1", "optim.name=sgd", "data={kind: digits, max_train: 300}"], 3.3e-4)
    assert line == "zoo train quickstart optim.name=sgd 'data={kind: digits, max_train: 300}' optim.lr=0.00033"
    options = parse(shlex.split(line)[1:])
    recipe = load_recipe(options.recipe, options.overrides)
    assert (recipe.optim.lr, recipe.optim.name, recipe.data.max_train) == (3.3e-4, "sgd", 300)


def test_a_test_prints_a_rate_and_the_command(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lr", str(tiny), "--steps", "40"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line[:10].strip() for line in lines]
    assert [name for name in names if name][-5:] == ["range", "loss", "lr", "picture", "next"]
    rate = next(line for line in lines if line.startswith("lr ")).split()[1].rstrip(",")
    assert lines[-1].endswith(f"zoo train {tiny} optim.lr={rate}")
    assert main(["lr", str(tiny), "--steps", "40", "--json", "--plot", str(tmp_path / "lr.svg")]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert (found["recipe"], f"{found['lr']:g}", found["command"]) == ("tiny", rate, lines[-1].split(maxsplit=1)[1])
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"]) == found["steps"]
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.yaml", "lr.svg"}
